"""Reading a brief: what is understood, what contradicts itself, and what no rule can check."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from allotrope.graphs.work.constraints import sounds
from allotrope.graphs.work.constraints.grammar.forms import forms
from allotrope.graphs.work.constraints.grammar.keywords import keywords
from allotrope.graphs.work.constraints.grammar.lengths import Read, lengths
from allotrope.graphs.work.constraints.grammar.tokens import Token, sentences, tokens
from allotrope.graphs.work.constraints.kinds import MOST, Constraint, sentence
from allotrope.graphs.work.spelled import words
from allotrope.support.extras import install

_WISHES = frozenset(
    words(
        "must mustn't should shouldn't don't avoid never without exactly least most no "
        "only each every limit max maximum minimum keep rhyme rhymes rhyming ohne muss "
        "soll nicht keine mindestens höchstens genau jede jeder jedes syllable "
        "syllables tone between"
    )
)
_MAKING = frozenset(words("write give create draft compose schreibe schreib verfasse"))
_ORDER = ("length", "bullets", "no_bullets", "lowercase", "uppercase", "json", "avoid", "no_emoji",
          "no_digits", "no_title", "use", "some", "start", "end", "no_letter", "acrostic",
          "language", "grade", "ease", "rhyme", "syllables")  # fmt: skip
_OPPOSED = (("lowercase", "uppercase"), ("bullets", "no_bullets"))


@dataclass(frozen=True)
class Understood:
    """What a brief was taken to say.

    Args:
        constraints: What a program will check.
        dropped: Pairs that contradict each other, a sentence each; none of them is checked.
        unread: Parts of the brief that sound like a wish, and that no rule understood.
    """

    constraints: list[Constraint] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def read(brief: str) -> list[Constraint]:
    """The constraints that a program can check.

    Args:
        brief: What the user wants written.

    Returns:
        Them in the order of their kinds, without those that contradict each other.
    """
    return understood(brief).constraints


def understood(brief: str) -> Understood:
    """What a brief asks for, what in it contradicts itself, and what wasn't understood.

    Args:
        brief: What the user wants written.
    """
    found: list[Read] = []
    parts = sentences(tokens(brief), brief)
    for part in parts:
        wishes, _ = lengths(part)
        found += [*wishes, *keywords(part), *forms(part)]
        if len(found) > MOST:
            break
    found = _of_the_whole(found, parts)
    counted = {
        one.constraint["unit"]
        for one in found
        if one.constraint["kind"] == "length" and one.end - one.start > 8
    }
    unique: list[Constraint] = []
    for one in found[:MOST]:
        constraint = one.constraint
        if constraint not in unique and not (
            constraint["kind"] == "bullets" and "bullets" in counted
        ):
            unique.append(constraint)
    unique.sort(key=lambda one: _ORDER.index(one["kind"]))
    kept, dropped = _without_contradictions(unique)
    lacking = [one for one in kept if not sounds.available(one["kind"])]
    unread = [f"{sentence(one)} Install it with: {install('writing')}" for one in lacking]
    kept = [one for one in kept if one not in lacking]
    return Understood(kept, dropped, [*unread, *_unread(brief, parts, found)])


def _of_the_whole(found: Sequence[Read], parts: Sequence[Sequence[Token]]) -> list[Read]:
    """Without lengths of one section, unless that section is all that is to be written."""
    named = {one.named for one in found if one.named}
    if len(named) > 1:  # "a title of 5 words and a body of 50": each part has its own
        found = [one for one in found if not one.named]
    if any(one.constraint["kind"] == "json" for one in found):
        found = [one for one in found if one.constraint["kind"] != "length"]  # of which value?
    sections = {one.section for one in found if one.section}
    if not sections:
        return list(found)
    first = [token.low for token in _clauses(parts[0])[0]] if parts else []
    for part in parts[1:] if parts else ():
        for clause in _clauses(part):
            lows = [token.low for token in clause]
            first += lows if _MAKING & set(lows[:2]) else []
    pair = any(one in sections and "and" in first[max(0, n - 3) : n + 2]
               for n, one in enumerate(first))  # fmt: skip
    named_first = not pair and all(
        word in first for section in sections for word in section.split()
    )
    wanted = sections if len(sections) == 1 and named_first else set()
    return [one for one in found if not one.section or one.section in wanted]


def _without_contradictions(found: Sequence[Constraint]) -> tuple[list[Constraint], list[str]]:
    out: set[int] = set()
    dropped: list[str] = []
    for a, one in enumerate(found):
        for b in range(a + 1, len(found)):
            if _contradict(one, found[b]):
                out |= {a, b}
                dropped.append(f"{sentence(one)} ↔ {sentence(found[b])}")
    return [one for n, one in enumerate(found) if n not in out], dropped[:MOST]


def _contradict(one: Constraint, other: Constraint) -> bool:
    kinds = (one["kind"], other["kind"])
    if kinds in _OPPOSED or kinds[::-1] in _OPPOSED:
        return True
    if kinds == ("length", "length"):
        if (one["unit"], one.get("per")) != (other["unit"], other.get("per")):
            return False
        lows = [each["low"] for each in (one, other) if each["low"] is not None]
        highs = [each["high"] for each in (one, other) if each["high"] is not None]
        return bool(lows and highs and max(lows) > min(highs))
    if set(kinds) == {"use", "avoid"}:
        use, avoid = (one, other) if kinds[0] == "use" else (other, one)
        return str(avoid["value"]).lower() in str(use["value"]).lower()
    if set(kinds) == {"use", "no_digits"}:
        use = one if kinds[0] == "use" else other
        return any(sign.isdigit() for sign in str(use["value"]))
    if set(kinds) == {"length", "no_emoji"}:
        length = one if kinds[0] == "length" else other
        return length["unit"] == "emojis" and bool(length["low"])
    single = {"start", "end", "language", "acrostic"}
    if kinds[0] == kinds[1] and kinds[0] in single and one.get("per") == other.get("per"):
        return bool(one["value"] != other["value"])
    return False


def _unread(brief: str, parts: Sequence[Sequence[Token]], found: Sequence[Read]) -> list[str]:
    """Clauses with a word that sounds like a wish, from which nothing was read."""
    spans = [(one.start, one.end) for one in found]
    unread: list[str] = []
    for part in parts:
        for clause in _clauses(part):
            start, end = clause[0].start, clause[-1].end
            if any(a < end and start < b for a, b in spans):
                continue
            if any(one.low in _WISHES for one in clause):
                unread.append(" ".join(brief[start:end].split())[:200].rstrip(".!"))
    return unread[:20]


def _clauses(part: Sequence[Token]) -> list[list[Token]]:
    clauses: list[list[Token]] = [[]]
    for token in part:
        if token.text in ",;:()" and not token.quoted:
            clauses.append([])
        else:
            clauses[-1].append(token)
    return [clause for clause in clauses if clause]
