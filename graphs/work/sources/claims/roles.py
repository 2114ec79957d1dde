"""Who does what to whom, what has happened yet, and why: where a claim has it otherwise."""

import itertools
import re
from collections.abc import Mapping, Sequence

from allotrope.graphs.work.sources.claims.figures import figures
from allotrope.graphs.work.sources.claims.polarity import NO_AFFIX, hedged, sense
from allotrope.graphs.work.sources.claims.support import same
from allotrope.graphs.work.sources.claims.wording import content, kin, raw, stems
from allotrope.graphs.work.spelled import words

_PIVOTS = frozenset(
    words(
        "with from to than into against at onto before behind mit von zu gegen in als vor hinter "
        "para por not nicht"
    )
)
_BETWEEN_EQUALS = frozenset(
    words(
        "meet met merg equal border marri differ correl associ link resembl coincid cooper treffen"
    )
)
"""Stems of what holds both ways: who met whom doesn't matter."""
_PASSIVE = re.compile(r"\b(?:by|von|durch|por|par)\b", re.IGNORECASE)
_NEAR = 7
"""Words between one that has changed its place and the one in the middle, at most."""
_LONGEST = 80
"""Words of a sentence that are compared for their order."""


def turned_round(claim: str, sentence: str, *, in_german: bool) -> bool:
    """Whether two words of a claim have changed their places around a third one.

    `The dog bit the man` for `The man bit the dog`. Words that only moved together (`in May it
    rose`, `it rose in May`) never come out so: for that all three must stand in reverse order.

    Args:
        claim: A clause that follows its source nearly word for word.
        sentence: The source's sentence.
        in_german: The language of both.
    """
    if bool(_PASSIVE.search(claim)) != bool(_PASSIVE.search(sentence)):
        return False
    mine, its = (stems(text, in_german=in_german)[:_LONGEST] for text in (claim, sentence))
    said = set(content(claim, in_german=in_german))
    there = set(content(sentence, in_german=in_german))
    if len(said) < 3 or len(said & there) < 0.75 * len(said):
        return False
    place = {word: its.index(word) for word in mine if mine.count(word) == its.count(word) == 1}
    order = [word for word in mine if word in place]
    blocks = _blocks(order, place)
    starts = [place[block[0]] for block in blocks]
    for n, block in enumerate(blocks):
        middle = block[0]
        if len(block) > 3 or middle in _BETWEEN_EQUALS or not {*block} & (said | _PIVOTS):
            continue
        for one, other in itertools.product(range(n), range(n + 1, len(blocks))):
            if not starts[one] > starts[n] > starts[other]:
                continue
            there_at, at = starts[n], mine.index(middle)
            first, last = mine.index(blocks[one][-1]), mine.index(blocks[other][0])
            far = max(starts[one] - there_at, there_at - starts[other], at - first, last - at)
            wide = min(last - mine.index(blocks[one][0]), starts[one] - starts[other]) > 2
            rest = [starts[m] for m in range(len(blocks)) if m not in (one, other)]
            named = said & {*blocks[one]} and said & {*blocks[other]}
            if named and far < _NEAR and (wide or middle in _PIVOTS) and rest == sorted(rest):
                return True
    return False


def _blocks(order: Sequence[str], place: Mapping[str, int]) -> list[list[str]]:
    """Words that follow each other in both texts, as names of two words do, together."""
    blocks: list[list[str]] = []
    for word in order:
        if blocks and 0 < place[word] - place[blocks[-1][-1]] <= 2 and word not in _PIVOTS:
            blocks[-1].append(word)
        else:
            blocks.append([word])
    return blocks


_AHEAD = re.compile(
    r"\b(?:will|would|shall|may|might|could|should|must|wird|soll"
    r"|(?:expect\w*|plan\w*|due|set|is|are|have|has|had|intend\w*|aim\w*|want\w*|hop\w*|yet"
    r"|scheduled|likely|propos\w*|needs?)\s(?:\w+\s)?to)\s(?:not\s)?(?:\w+ly\s)?(?:be\s)?"
    r"(?P<verb>[a-z]{3,20})\b",
    re.IGNORECASE,
)
_DONE = re.compile(
    r"\b(?:has|have|had|was|were)\s(?:(?:\w+ly|already|now|also|been)\s){0,2}(?P<verb>[a-z]{3,20})\b",
    re.IGNORECASE,
)


def not_yet(claim: str, source: Sequence[str]) -> str | None:
    """What a claim says has happened, and its source that it will, or None.

    Args:
        claim: A sentence.
        source: The sentences that it cites.
    """
    if hedged(claim) or sense(claim).negated or re.search(r"\b(?:will|due|yet|to be)\b", claim):
        return None
    done = {_stem(match["verb"]): match["verb"] for match in _DONE.finditer(claim)}
    for sentence in source:
        for match in _AHEAD.finditer(sentence):
            verb = _stem(match["verb"])
            whole = " ".join(source).lower()
            count = sum(stem == verb for stem in stems(whole, in_german=False))
            if verb in done and count == 1:
                return done[verb]
    return None


def _stem(word: str) -> str:
    return (stems(word, in_german=False) or [""])[0]


_BECAUSE = re.compile(
    r"\b(?:because(?: of)?|due to|owing to|thanks to|as a result of|caused by|driven by"
    r"|attribut\w+(?: \w+){0,6}? to|wegen|aufgrund|weil|infolge|debido a|a causa de|gracias a)\b"
    r"(?P<cause>[^.;]{3,120})",
    re.IGNORECASE,
)


def other_cause(claim: str, source: Sequence[str], *, in_german: bool) -> bool:
    """Whether a claim names a cause, and the source another one of the same.

    Args:
        claim: A sentence.
        source: The sentences that it cites.
        in_german: The language of both.
    """
    mine = _BECAUSE.search(claim)
    if not mine:
        return False
    effect = set(content(claim[: mine.start()], in_german=in_german))
    cause = raw(mine["cause"])
    if len(effect) < 2 or not cause:
        return False
    for sentence in source:
        its = _BECAUSE.search(sentence)
        if not its or len(effect & set(content(sentence[: its.start()], in_german=in_german))) < 2:
            continue
        given = raw(its["cause"])
        return bool(given) and not any(kin(word, given) for word in cause)
    return False


_NOT_BEFORE = re.compile(
    r"(?:\b(?:not|nicht|never)\b|n['’]t\b)[^.;]{0,60}?\b(?:before|until|vor|bis)\s(?P<when>[^.;]{2,40})"
    r"|(?P<also>[^.;,]{2,40}?)\s(?:at the earliest|frühestens)",
    re.IGNORECASE,
)
_BEFORE = re.compile(r"\b(?:before|by|vor)\s(?P<when>[^.;,]{2,40})", re.IGNORECASE)


def too_early(claim: str, source: Sequence[str]) -> str | None:
    """A time before which a claim sets what its source says won't be before then.

    Args:
        claim: A sentence.
        source: The sentences that it cites.
    """
    mine = _BEFORE.search(claim)
    if not mine or sense(claim).negative or _NOT_BEFORE.search(claim):
        return None
    for sentence in source:
        its = _NOT_BEFORE.search(sentence)
        if not its:
            continue
        when = (its["when"] or its["also"]).lower()
        dates = [one for one in figures(mine["when"]) if one.kind in ("date", "year")]
        if any(same(one, other) or one.date == other.date
               for one in dates for other in figures(when)):  # fmt: skip
            return mine["when"].strip()
    return None


_WAY = re.compile(
    r"(?<!due )(?<!thanks )(?<!according )(?<!compared )\b(to|from|nach|aus|von)\s(?:the )?"
    r"(?P<name>[A-ZÄÖÜ][\w-]{2,})"
)


def other_way(claim: str, cited: str) -> str | None:
    """A place *from* which something comes in a claim, and *to* which it goes in the source.

    Args:
        claim: A sentence.
        cited: All that it cites.
    """
    mine, its = _ways(claim), _ways(cited)
    for name, ways in mine.items():
        if name in its and not ways & its[name]:
            return f"{next(iter(ways))} {name}"
    return None


def _ways(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for match in _WAY.finditer(text):
        way = "to" if match[1] in ("to", "nach") else "from"
        found.setdefault(match["name"], set()).add(way)
    return found


_BY = re.compile(
    r"\b(?P<verb>[a-z]{3,20})(?:\s(?:out|up|forward|off|down))?\s(?:by|von|por)\s(?:the )?"
    r"(?P<name>[A-ZÀ-Þ][\w’-]+(?:\s[A-ZÀ-Þ][\w’-]+){0,2})"
)


def other_agent(claim: str, source: Sequence[str]) -> str | None:
    """Who did something in a claim, where the source has it done by somebody else.

    Args:
        claim: A sentence.
        source: The sentences that it cites.
    """
    its: dict[str, list[str]] = {}
    for sentence in source:
        for match in _BY.finditer(sentence):
            its.setdefault(_stem(match["verb"]), []).append(match["name"])
    for match in _BY.finditer(claim):
        names = its.get(_stem(match["verb"]), [])
        said = set(match["name"].split())
        if names and not any(said & set(name.split()) for name in names):
            return match["name"]
    return None


_AFFIX = ("un", "in", "im", "ir", "il", "dis", "non", "non-", "mis")


def turned_by_prefix(claim: str, sentence: str) -> str | None:
    """A word of a claim whose opposite by a prefix stands in its source: `known`, `unknown`.

    Args:
        claim: A clause.
        sentence: The sentence of the source that is nearest to it.
    """
    mine, its = set(raw(claim)), set(raw(sentence))
    negated = sense(claim).negated != sense(sentence).negated
    for word in mine - its:
        turned = next((a + word for a in _AFFIX if a + word in its), "")
        if len(word) >= 4 and word not in NO_AFFIX and turned and turned not in mine:
            return None if negated else word
        for affix in _AFFIX:
            plain = word.removeprefix(affix)
            if plain != word and len(plain) >= 4 and plain in its and plain not in NO_AFFIX | mine:
                return None if negated else word
    return None
