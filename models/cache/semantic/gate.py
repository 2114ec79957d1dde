"""The safety gate: after the vectors, before a stored answer goes to another question.

Hard rules first — numbers, names, units, negation, opposites, question type, order of arguments —
whatever the score says. Then the calibrated score must reach its threshold.
"""

from allotrope.models.cache.semantic.differences import Differences, differences
from allotrope.models.cache.semantic.parse import ParsedQuestion, parse
from allotrope.models.cache.semantic.score import TreeScorer

FEW, MANY = 1, 2
"""Content words that else differ, on the one side and the other, in nearly the same question."""


class SafetyGate:
    """Admits a stored answer to a question that surely asks the same.

    Args:
        scorer: The calibrated score.
        precision: `strict`, `balanced` or `wide`: which of its thresholds counts.
    """

    def __init__(self, scorer: TreeScorer, *, precision: str = "strict") -> None:
        self._scorer = scorer
        self._threshold = scorer.thresholds[precision]

    def admits(self, asked: str, kept: str, cosine: float) -> bool:
        """Whether both questions surely ask the same.

        Args:
            asked: The question now.
            kept: The question whose answer is stored.
            cosine: Similarity of their vectors.
        """
        a, b = parse(asked), parse(kept)
        if a.words == b.words:
            return True
        found = differences(a, b)
        if refusal(a, b, found) is not None:
            return False
        return self._scorer.score(a, b, cosine, found) >= self._threshold


def refusal(a: ParsedQuestion, b: ParsedQuestion, found: Differences | None = None) -> str | None:
    """Why two questions can't have the same answer, by rule; None when no rule speaks against it.

    Other numbers, opposites and changed places always speak against it. A number or a name of one
    side only, other names, negation and the kind of question do so where the questions are nearly
    the same otherwise; in freer rewordings they are features of the score.

    Args:
        a: One question.
        b: The other.
        found: What they differ in, where it is known already.

    Returns:
        `numbers`, `names`, `negation`, `opposites`, `kind`, `order`, or None.
    """
    found = found or differences(a, b)
    near = _near(a, b)
    if a.numbers - b.numbers and b.numbers - a.numbers:
        return "numbers"
    if near and a.numbers != b.numbers:
        return "numbers"
    if near and (a.negations % 2 != b.negations % 2 or (a.negations == 0) != (b.negations == 0)):
        return "negation"
    if near and found.kinds:
        return "kind"
    if near and _names_differ(found):
        return "names"
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
