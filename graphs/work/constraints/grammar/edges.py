"""How a text, or each part of it, is to begin and to end, by the words around a quotation."""

from collections.abc import Sequence

from allotrope.graphs.work.constraints.grammar.phrases import before, phrases
from allotrope.graphs.work.constraints.grammar.tokens import Token
from allotrope.graphs.work.constraints.grammar.vocabulary import PARTS
from allotrope.graphs.work.constraints.kinds import Constraint
from allotrope.graphs.work.spelled import words

NOT = frozenset(
    words(
        "not no never nor nicht kein keine keinen nie cannot neither nobody niemand none keiner "
        "keines"
    )
)
_START = phrases(
    "start with | starts with | starting with | begin with | begins with | "
    "first sentence : | first line : | opening line : | opening sentence : | first words : | "
    "erster satz : | erste zeile : | beginning with | started with | open with | opens with "
    "| opening with | first "
    "word is | first word be | first words are | beginne mit | beginnen mit | "
    "beginnt mit | begins by saying | first line is | first sentence is | start off "
    "with"
)
_END = phrases(
    "end with | ends with | ending with | end on | ends on | ending on | finish "
    "with | finishes with | finishing with | close with | closes with | closing "
    "with | last sentence : | last line : | final line : | closing line : | final sentence : | "
    "letzter satz : | letzte zeile : | last word is | last word be | last words are | "
    "conclude with | ende mit "
    "| enden mit | endet mit | end in | last line is | last sentence is | sign off "
    "with"
)
_WHOLE = words("it text poem story letter email post article piece speech essay caption tweet")
_START += phrases(
    " | ".join(
        f"{verb} {the}{what} with"
        for verb in ("begin", "start", "open")
        for what in _WHOLE
        for the in (("",) if what == "it" else ("the ", "your "))
    )
)
_END += phrases(
    " | ".join(
        f"{verb} {the}{what} with"
        for verb in ("end", "finish", "close", "conclude")
        for what in _WHOLE
        for the in (("",) if what == "it" else ("the ", "your "))
    )
)
_START += phrases(
    "first word should be | first word must be | first word has to be | first words should be"
)
_END += phrases(
    "last word should be | last word must be | last word has to be | last words should be"
)
_LEAD = frozenset(
    words("the word words phrase sentence line exact mit dem den wort satz worten a greeting text")
)


def edges(part: Sequence[Token], start: int, stop: int, values: list[str]) -> list[Constraint]:
    """How a quotation is to begin or to end the text, or each part of it.

    Args:
        part: The tokens of a sentence.
        start: The place of the quotation.
        stop: The place after it.
        values: What is quoted.
    """
    divided = _divided(part, start) or _divided_at_the_end(part, start, stop)
    if divided and part[start].quoted:
        return [{"kind": divided[0], "value": values[0], "per": divided[1]}]
    at = start
    while at and part[at - 1].low in _LEAD | {":", ","} and start - at < 4:
        at -= 1
    for kind, known in (("start", _START), ("end", _END)):
        cue = before(part, at, known)
        if cue is None and at < start:
            cue = before(part, start, known)
        if cue is None or not part[start].quoted:
            continue
        if _is_outer(part, cue, kind):
            return [{"kind": kind, "value": values[0]}]
        if any(one.low in NOT or one.low.endswith("n't") for one in part[max(0, cue - 3) : cue]):
            return []
        one: Constraint = {"kind": kind, "value": values[0]}
        per = _each_of(part, cue)
        if per == "":
            return []
        if per:
            one["per"] = per
        return [one]
    return []


def _is_outer(part: Sequence[Token], cue: int, kind: str) -> bool:
    """`the first line must start with`: what begins the first line begins the text."""
    outer = ("first", "opening", "erste", "erster") if kind == "start" else (
        "last", "final", "closing", "letzte", "letzter")  # fmt: skip
    at = cue - 1
    while at > 0 and part[at].low in _MODALS and cue - at < 4:
        at -= 1
    return at > 0 and part[at].low in PARTS and part[at - 1].low in outer and not any(
        is_not(one) for one in part[at:cue]
    )  # fmt: skip


_MODALS = frozenset(words("must should shall has have to needs need soll sollte muss will"))


def _divided(part: Sequence[Token], start: int) -> tuple[str, str] | None:
    """`start every sentence with`: the kind, and what each part is named."""
    verbs = {"start": "start", "begin": "start", "open": "start", "beginne": "start",
             "end": "end", "finish": "end", "close": "end", "beende": "end"}  # fmt: skip
    for at in range(start - 1, max(2, start - 5), -1):
        if part[at].low in ("with", "mit") and part[at - 1].low in PARTS:
            kind = verbs.get(part[at - 3].low)
            if kind and part[at - 2].low in ("each", "every", "all", "jede", "jeden", "jedes"):
                return kind, PARTS[part[at - 1].low]
    return None


def _divided_at_the_end(part: Sequence[Token], start: int, stop: int) -> tuple[str, str] | None:
    """`jeder Satz soll mit „Wenn“ beginnen`: the kind, and what each part is named."""
    ends = {"beginnen": "start", "beginnt": "start", "anfangen": "start", "anfängt": "start",
            "enden": "end", "endet": "end"}  # fmt: skip
    kind = ends.get(part[stop].low) if stop < len(part) else None
    if kind is None or not start or part[start - 1].low != "mit":
        return None
    for at in range(start - 2, max(0, start - 6), -1):
        if part[at].low in PARTS and part[at - 1].low in ("jede", "jeder", "jedes"):
            return kind, PARTS[part[at].low]
    return None


_EACH = frozenset(words("each every jede jeder jedes jeden"))
_SOME_PART = frozenset(words("second third first last title paragraph lines sentences"))


def _each_of(part: Sequence[Token], cue: int) -> str | None:
    """`line` for `every line must start with`; empty where only some part is meant."""
    for at in range(cue - 1, max(-1, cue - 6), -1):
        low = part[at].low
        if low in ("each", "every", "all", "jede", "jeder", "jedes", "jeden"):
            for n in (at + 1, at + 2):
                if n < len(part) and part[n].low in PARTS:
                    return PARTS[part[n].low]
            if at + 1 == cue or part[at + 1].low in ("of", "one", "must", "should"):
                for n in range(at - 1, max(-1, at - 6), -1):
                    if part[n].low in PARTS:
                        return PARTS[part[n].low]
            return ""
        of_each = at > 0 and part[at - 1].low in _EACH
        if low in _SOME_PART and not of_each:
            return ""
    return None


def is_not(token: Token) -> bool:
    """Whether a token denies what follows."""
    return token.low in NOT or token.low.endswith("n't")
