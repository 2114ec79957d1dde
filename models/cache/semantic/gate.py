"""The safety gate: after the vectors, before a stored answer goes to another question.

Equal texts pass. Then the rules speak, whatever the score says: the language, the material asked
about, literals (numbers, symbols, code, quotes, capitals), names, negation, opposites, the kind of
question, who does what to whom. Then the calibrated score must reach its threshold.
"""

from dataclasses import dataclass

from allotrope.models.cache.semantic.differences import Differences, differences
from allotrope.models.cache.semantic.parse import ParsedQuestion, parse
from allotrope.models.cache.semantic.phrasing import core
from allotrope.models.cache.semantic.rules.language import calibrated
from allotrope.models.cache.semantic.rules.literal import (
    literal_difference,
    only_capitals_differ,
    same_writing,
)
from allotrope.models.cache.semantic.rules.material import asked as taken_apart
from allotrope.models.cache.semantic.score import TreeScorer

FEW, MANY = 1, 2
"""Content words that else differ, on the one side and the other, in nearly the same question."""

FOREIGN_COSINE = 0.85
"""From here on a verifier is asked about questions in a language that wasn't calibrated."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says about a pair.

    Args:
        admitted: Whether the stored answer may be given.
        reason: `equal`, `score`, `language` where only a verifier can tell, or the rule that
            refuses.
        score: The calibrated score, 0 to 1; 1 for equal texts, 0 where a rule refuses, the cosine
            where only a verifier can tell.
        precision: How often pairs of such a score were the same when it was calibrated; None where
            no score decides.
    """

    admitted: bool
    reason: str
    score: float
    precision: float | None = None


class SafetyGate:
    """Admits a stored answer to a question that surely asks the same.

    Args:
        scorer: The calibrated score.
        precision: `strict`, `balanced` or `wide`: which of its thresholds counts.
        verified: Whether a model has the last word; then it also decides about questions in
            languages for which the score isn't calibrated.
    """

    def __init__(
        self, scorer: TreeScorer, *, precision: str = "strict", verified: bool = False
    ) -> None:
        self._scorer = scorer
        self._threshold = scorer.thresholds[precision]
        self._verified = verified

    def reads(self, question: str) -> bool:
        """Whether any but an equal question could be admitted, by its language."""
        return self._verified or calibrated(question)

    def admits(self, asked: str, kept: str, cosine: float) -> bool:
        """Whether both questions surely ask the same.

        Args:
            asked: The question now.
            kept: The question whose answer is stored.
            cosine: Similarity of their vectors.
        """
        return self.judge(asked, kept, cosine).admitted

    def judge(self, asked: str, kept: str, cosine: float) -> Verdict:
        """The same as `admits`, with the reason and the score."""
        if same_writing(asked, kept):
            return Verdict(True, "equal", 1.0)
        one, two = taken_apart(asked), taken_apart(kept)
        if one.material or two.material:
            return _beside_material(one.question, two.question, one.lines == two.lines)
        if self._verified and not (calibrated(asked) and calibrated(kept)):
            written = literal_difference(asked, kept)
            if written is None and cosine >= FOREIGN_COSINE:
                return Verdict(True, "language", cosine)
            return Verdict(False, written or "language", 0.0)
        a, b = parse(asked), parse(kept)
        found = differences(a, b)
        reason = refusal(a, b, found)
        if reason is not None:
            return Verdict(False, reason, 0.0)
        score = self._scorer.score(a, b, cosine, found)
        measured = self._scorer.precision_of(score)
        return Verdict(score >= self._threshold, "score", score, measured)


def _beside_material(asked: str, kept: str, same: bool) -> Verdict:
    """Two questions about pasted texts; the cosine of the whole says nothing of them."""
    if not same:
        return Verdict(False, "material", 0.0)
    if not asked or not kept:
        return Verdict(False, "material", 0.0)
    if same_writing(asked, kept):
        return Verdict(True, "equal", 1.0)
    a, b = parse(asked), parse(kept)
    reason = refusal(a, b)
    if reason is not None:
        return Verdict(False, reason, 0.0)
    one, two = core(a.words), core(b.words)
    if one.stems and one.stems == two.stems and one.frame == two.frame:
        return Verdict(True, "equal", 1.0)
    return Verdict(False, "material", 0.0)


def refusal(a: ParsedQuestion, b: ParsedQuestion, found: Differences | None = None) -> str | None:
    """Why two questions can't have the same answer, by rule; None when no rule speaks against it.

    Literals, opposites and changed places always speak against it. Other names, negation, the kind
    of question, persons and conditions do so where the questions are nearly the same otherwise; in
    freer rewordings they are features of the score.

    Args:
        a: One question.
        b: The other.
        found: What they differ in, where it is known already.

    Returns:
        `language`, `numbers`, `symbols`, `quotes`, `marks`, `case`, `names`, `negation`,
        `opposites`, `kind`, `order`, `person`, `only`, `quantity`, `condition`, `tense`, or None.
    """
    if not (calibrated(a.text) and calibrated(b.text)):
        return "language"
    near = _near(a, b)
    if only_capitals_differ(a.text, b.text):
        return "case"
    written = literal_difference(a.text, b.text, near=near)
    if written is not None:
        return written
    found = found or differences(a, b)
    if near:
        if a.negations % 2 != b.negations % 2 or (a.negations == 0) != (b.negations == 0):
            return "negation"
        if found.kinds:
            return "kind"
        if _names_differ(found):
            return "names"
        if found.scope is not None:
            return found.scope
    if found.opposed:
        return "opposites"
    if found.blocks or found.roles:
        return "order"
    return None


def _near(a: ParsedQuestion, b: ParsedQuestion) -> bool:
    """Whether hardly a word differs but the numbers and names."""
    ours, theirs = a.content_set, b.content_set
    named = a.names | b.names | a.numbers | b.numbers
    few, many = sorted((len(ours - theirs - named), len(theirs - ours - named)))
    return few <= FEW and many <= MANY


def _names_differ(found: Differences) -> bool:
    """A name that the other question doesn't mention at all, in whatever case."""
    return all(found.names) or any(found.weighty)
