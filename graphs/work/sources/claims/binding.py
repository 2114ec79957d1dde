"""What a figure of a claim is said of: by or to, the part or the whole, the words beside it."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from allotrope.graphs.work.sources.claims.figures import Figure, figures
from allotrope.graphs.work.sources.claims.polarity import sense
from allotrope.graphs.work.sources.claims.support import same
from allotrope.graphs.work.sources.claims.wording import content

_ROLE = re.compile(
    r"\b(by|to|um|auf)\s(?:(?:about|around|roughly|nearly|almost|some|just|over|only|an? "
    r"estimated|rund|etwa|fast|knapp)\s)?[$€£]?$",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    r"\b(?:not|never|no|none|neither|other|others|rest|remaining|without|all but|kein\w*|nicht"
    r"|übrig\w*|more|fewer|less)\b|n['’]t\b",
    re.IGNORECASE,
)
_OF = re.compile(
    r"\s(?:\w+\s)?(?:out )?of (?:the |its |their |all |these |those )?(?:\w+ )?$", re.I
)
_ALL_BUT = re.compile(r"\b(?:all but|except\w*|bis auf|alle außer)\b", re.IGNORECASE)
_CUT = re.compile(r"[(),;]|\s(?:and|while|but|against|und|to|from)\s", re.IGNORECASE)


def _distinct(text: str, meant: Sequence[Figure] = ()) -> list[Figure]:
    """The figures of a text that are no dates: of two readings the one that is meant, or the first.

    Args:
        text: A sentence.
        meant: Figures of the other side, by which `1.300` is 1300 or 1.3.
    """
    found: dict[int, Figure] = {}
    for one in figures(text)[:40]:
        if one.kind in ("date", "year"):
            continue
        if one.start not in found or any(same(other, one) for other in meant):
            found[one.start] = one
    return list(found.values())


def by_or_to(claim: str, cited: str) -> str | None:
    """A figure *by* which something changed in a claim, and *to* which in the source, or None."""
    for one in _distinct(claim):
        mine = _role(claim, one)
        if not mine:
            continue
        its = {_role(cited, other) for other in figures(cited) if same(one, other)}
        if its == {{"by": "to", "to": "by"}[mine]}:
            return f"the source doesn't say “{mine} {one.text}”"
    return None


def _role(text: str, one: Figure) -> str:
    match = _ROLE.search(text[max(0, one.start - 24) : one.start])
    return {"um": "by", "auf": "to"}.get(match[1].lower(), match[1].lower()) if match else ""


def _pairs(text: str) -> list[tuple[Figure, Figure]]:
    """Part and whole: `3 of the 4`, `of 48 bees, 31`."""
    found = _distinct(text)
    pairs = []
    for other in found:
        one_of = re.search(r"\b(?:one|eine[rs]?) (?:out )?of (?:the |its |their )?$",
                           text[: other.start][-30:], re.I)  # fmt: skip
        if one_of and not other.kind:
            pairs.append((replace(other, text="one", value=Decimal(1), step=Decimal(1)), other))
    for one, other in itertools.pairwise(found):
        between = text[one.end : other.start]
        if len(between) < 40 and _OF.match(between + " " if not between.endswith(" ") else between):
            if not other.kind:
                pairs.append((one, other))
        elif re.search(r"\bof (?:the |all )?$", text[max(0, one.start - 9) : one.start], re.I) and (
            re.fullmatch(r"[^,.;]{0,40}, (?:only |just |about )?", between)
        ):
            pairs.append((other, one))
    return pairs


def other_course(claim: str, source: Sequence[str]) -> str | None:
    """A figure beside a rise in a claim, and beside a fall in the source, or the other way.

    Args:
        claim: A sentence.
        source: The sentences that it cites.
    """
    for one in _distinct(claim):
        mine = _course(claim, one)
        if not mine:
            continue
        its = [
            _course(text, other) for text in source for other in figures(text) if same(one, other)
        ]
        if its and all(end == -mine for end in its):
            return f"{one.text} goes the other way in the source"
    return None


def _course(text: str, one: Figure) -> int:
    """1 where a part of a sentence with a figure speaks of a rise, -1 of a fall, else 0."""
    follows = _MORE.match(text, one.end)
    if follows:
        return 1 if follows["more"] else -1
    compared = _THAN.search(text[max(0, one.start - 24) : one.start])
    if compared:
        return 1 if compared["more"] else -1
    before = [match.end() for match in _PART.finditer(text, 0, one.start)]
    after = _PART.search(text, one.end)
    part = text[before[-1] if before else 0 : after.start() if after else len(text)]
    if sense(part).negated:
        return 0
    ends = sense(part).ends.get("amount", set())
    return next(iter(ends)) if len(ends) == 1 else 0


_MORE = re.compile(
    r"\s(?:[a-zäöü]{3,12}\s)?(?:(?P<more>more|higher|greater|mehr|más|höher)"
    r"|less|fewer|lower|weniger|menos|niedriger)\b(?!\sor\b)",
    re.IGNORECASE,
)
_THAN = re.compile(
    r"\b(?:(?P<more>more|higher|greater|larger|bigger|longer|mehr|höher|größer)"
    r"|less|lower|fewer|smaller|shorter|weniger|niedriger|kleiner)\s(?:than|als)\s(?:the\s)?[$€£]?$",
    re.IGNORECASE,
)
_PART = re.compile(
    r"[(),;:](?!\d)|\s(?:and|while|but|against|compared|than|after|und|aber|y)\s", re.I
)
_ORDER = re.compile(
    r"\b(?P<rank>first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth"
    r"|\d{1,3}(?:st|nd|rd|th))[ -](?P<noun>[a-z]{3,})\b",
    re.IGNORECASE,
)
_RANKS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
          "tenth")  # fmt: skip


def other_rank(claim: str, source: Sequence[str], *, in_german: bool) -> str | None:
    """A place in an order that the source gives otherwise: its second opera, her third.

    Args:
        claim: A sentence.
        source: The sentences that it cites.
        in_german: The language of both.
    """
    its = _ranks(" ".join(source), in_german=in_german)
    for noun, ranks in _ranks(claim, in_german=in_german).items():
        if noun in its and not ranks & its[noun]:
            return f"the source doesn't say {next(iter(ranks))} of it"
    return None


def _ranks(text: str, *, in_german: bool) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for match in _ORDER.finditer(text):
        rank = match["rank"].lower()
        place = str(_RANKS.index(rank) + 1) if rank in _RANKS else rank[:-2]
        for noun in content(match["noun"], in_german=in_german)[:1]:
            found.setdefault(noun, set()).add(place)
    return found


def may_be_counted(one: Figure, there: Sequence[Figure]) -> bool:
    """Whether a small number in words may have been counted, since nothing stands in its place.

    Args:
        one: A figure of a claim that its source doesn't have.
        there: The figures of the source.
    """
    small = one.text.isalpha() and one.value / one.factor <= MOST_COUNTED
    return small and not any(
        other.kind == one.kind and other.value / other.factor <= MOST_COUNTED for other in there
    )


MOST_COUNTED = 12
"""The greatest number that a claim may have from counting what a source lists."""


def other_part(claim: str, source: Sequence[str], *, in_german: bool) -> str | None:
    """A part of a whole of which the source gives another part, or the whole for the part.

    Args:
        claim: A sentence.
        source: The sentences that it cites.
        in_german: The language of both.
    """
    if _OTHERS.search(claim):
        return None
    theirs = [(part, whole, text) for text in source for part, whole in _pairs(text)]
    mine = _pairs(claim)
    for part, whole in mine:
        of_it = [
            one for one, other, text in theirs if same(whole, other) and not _ALL_BUT.search(text)
        ]
        if of_it and not any(same(part, one) for one in of_it):
            return f"the source says {of_it[0].text} of {whole.text}"
    wholes = [whole for _, whole in mine]
    said = set(content(claim, in_german=in_german))
    here = _distinct(claim)
    for part, whole, text in theirs:
        covered = said & set(content(text, in_german=in_german))
        for one in here:
            if one in wholes or not same(one, whole) or any(same(other, part) for other in here):
                continue
            elsewhere = sum(same(one, other) for t in source for other in _distinct(t))
            if elsewhere == 1 and len(said) >= 4 and len(covered) >= 0.8 * len(said):
                return f"{one.text} is the whole in the source, not the part"
    return None


def said_of_another(claim: str, source: Sequence[str], *, in_german: bool) -> str | None:
    """A claim's only figure where the source has another one with the claim's words.

    Args:
        claim: A sentence.
        source: The sentences that it cites.
        in_german: The language of both.
    """
    mine = _distinct(claim)
    if len(mine) != 1 or _OTHERS.search(claim):
        return None
    one = mine[0]
    said = set(content(claim, in_german=in_german))
    having = [text for text in source if any(same(one, other) for other in figures(text))]
    if len(having) != 1 or having[0].count("|") > 1:
        return None
    text = having[0]
    one = next((n for n in figures(claim) if n.start == one.start
                and any(same(n, other) for other in figures(text))), one)  # fmt: skip
    there = _distinct(text, [one])
    own = [other for other in there if same(one, other)]
    bracketed = _in_brackets(text, own[0]) if len(own) == 1 else ""
    if bracketed and bracketed not in claim:
        names = [n for n in re.findall(r"\b[A-ZÄÖÜ][\w-]+", claim) if n in text and n != bracketed]
        if names and claim.find(names[0]) < one.start:
            return f"{one.text} is said of “{bracketed}” in the source"
    fit = max((_beside(text, other, said, in_german=in_german) for other in own), default=0)
    rivals = [other for other in there if other not in own and other.kind == one.kind]
    best = max((_beside(text, other, said, in_german=in_german) for other in rivals), default=0)
    return f"{one.text} is said of something else in the source" if not fit and best >= 2 else None


def _in_brackets(text: str, one: Figure) -> str:
    """The name right before a figure that stands alone in brackets: `ESA (80 percent)`."""
    match = re.search(r"\b([A-ZÄÖÜ][\w-]{1,40})\s\($", text[max(0, one.start - 30) : one.start])
    return match[1] if match and text[one.end : one.end + 1] == ")" else ""


def _beside(text: str, one: Figure, said: set[str], *, in_german: bool) -> int:
    before = [match.end() for match in _CUT.finditer(text, 0, one.start)]
    after = _CUT.search(text, one.end)
    part = text[before[-1] if before else 0 : after.start() if after else len(text)]
    return len(said & set(content(part, in_german=in_german)))
