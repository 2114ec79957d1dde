"""What a clause affirms or denies: negation, and words with an opposite, English and German.

Words that have an opposite lie on an axis: `rose` and `fell` are the two ends of one, `approved`
and `rejected` of another. A negation turns the end round. A claim contradicts its source where both
speak of an axis and stand at different ends, and where one of them is negated and nothing in the
other has a negative sense.
"""

import itertools
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache

from allotrope.graphs.work.spelled import words
from allotrope.models.cache.semantic.meaning import is_word
from allotrope.support.remembered import remembered

_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|without|cannot|nothing|nobody|nicht|kein\w*|nie"
    r"|ning[uú]n\w*|tampoco|nunca|aucun\w*|jamais"
    r"|niemals|ohne"
    r"|weder|no longer|hardly|barely|yet to|fail(?:s|ed)? to|ruled? out|rules out|ruling out"
    r"|free of"
    r"|rather than|instead of|(?:advis|warn|argu|decid|recommend)\w* against|lack(?:s|ed"
    r"|ing)?)\b|n['’]t\b|\w-free\b",
    re.IGNORECASE,
)
_NOT_ONLY = re.compile(
    r"\b(?:not|never|nicht)(?: been)? (?:seen|recorded|reached|experienced"
    r"|gesehen)\b(?=.{0,12}\bsince\b)"
    r"|\b(?:if|provided|providing|as long as|unless|wenn|falls|sofern|solange)\b[^,.;]{0,40}?"
    r"\b(?:not|no|nicht|kein\w*)\b|\bnot only\b"
    r"|\bno (?:fewer|less|more|later|sooner|earlier) than\b|\bnot (?:just|merely)\b"
    r"|\b(?:not|nicht)\b(?=[^,.;]{0,40}\b(?:before|until|vor)\b)"
    r"|\bnicht nur\b|\bno doubt\b|\bNo\. ?\d|\bwhether or not\b|\bnot necessarily\b",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(
    r"\b(?:deni\w+|deny|reject\w*|refus\w*|fail\w*|lack\w*|disable\w*|off|drop\w*|bar(?:s"
    r"|red)?|ban(?:s|ned|ning)?"
    r"|forbid\w*|forbade|prohibit\w*|exempt\w*|missing|hardly|barely|rule[sd]? out|disput\w*"
    r"|doubt\w*"
    r"|sceptic\w*|skeptic\w*|unless|stop\w*"
    r"|prevent\w*|avoid\w*|un(?!i(?:on|t|ver|que|fi|form)|der|til)\w{4,}|in(?:sufficient"
    r"|effective|active|complete|valid"
    r"|dependent of)\w*"
    r"|im(?:possible|probable)\w*|dis(?:agree|approv|allow|appoint|continu|prov|regard|satisf"
    r"|courag|believ|qualif)\w*|dismiss\w*|exclud\w*|oppos\w*"
    r"|absent|absence|remov\w*|discontinu\w*|short of|negative|halt\w*|abandon\w*"
    r"|contrary|zero|unchanged|avert\w*"
    r"|lehnt\w*|abgelehnt|bestreit\w*|verweiger\w*|un(?!ter|ser|gefähr)\w{5,}|bezweifel\w*"
    r"|befreit|gegen|statt"
    r"|isolat\w*|block\w*|separat\w*|expired|insufficient|shortage"
    r"|closed|shut|wary|experimental|stuck|hold\w* off)\b",
    re.IGNORECASE,
)
_LOOSELY = re.compile(
    r"\b(?:instead|rather|fewer|less|free|longer|before|until|only|little|few|end(?:s|ed)|except"
    r"|despite|same|kept|keep|still|remain\w*|half|poor\w*|limit\w*|lost|lose|loose|yet|ir\w{5,}"
    r"|noch|nur|wenig\w*)\b",
    re.IGNORECASE,
)
_STRONG = re.compile(
    r"\b(?:prove[sdn]?|proof|definitely|certainly|undoubtedly|always|every|all|entire"
    r"|entirely|only|sole"
    r"|solely|guarantee[sd]?|conclusively|completely|fully|exclusively|any|everyone|nobody"
    r"|none|must"
    r"|will|cannot|inevitabl[ey]|clearly|whole|worldwide|unanimous(?:ly)?|alle[nrs]?|immer"
    r"|jede[rsn]?"
    r"|bewiesen|definitiv|sicher)\b",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"\b(?:prove[sdn]?|proof|definitely|certainly|undoubtedly|always|every|all|entire"
    r"|entirely|solely"
    r"|guarantee[sd]?|conclusively|exclusively|everyone|inevitabl[ey]|unanimous(?:ly)?|alle[nrs]?"
    r"|immer|jede[rsn]?|bewiesen|definitiv|tod[oa]s?|toutes|tous)\b(?!\s+(?:days?|weeks?|months?|years?|time|hours?|other"
    r"|minutes?|\d|jahr|tag|monat|woche|affected))",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:may|might|could|can|possibl[ey]|perhaps|likely|probably|up to|as much as|suggests?"
    r"|appears?"
    r"|seems?|some|partly|estimated|expected|predicts?|forecasts?|projected|plans?|planned"
    r"|would|should"
    r"|at the earliest|potentially|slightly|most|many|usually|könnte[n]?|dürfte[n]?"
    r"|vielleicht|mancher?"
    r"|möglich\w*|wahrscheinlich|soll|expect\w*|aims?|tentative\w*|preliminary|experimental)\b",
    re.IGNORECASE,
)
_UNTIL = re.compile(
    r"(?:\b(?:not|nicht)\b|n['’]t\b)[^,.;]{0,60}?\b(?:before|until|vor|bis)\b", re.IGNORECASE
)
STOPS = re.compile(r",|\b(?:and|but|und|aber)\b")
"""What ends the reach of a negation."""
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@cache
def _ends() -> dict[str, tuple[tuple[str, int], ...]]:
    """Every word with an opposite, with its axes and ends."""
    from importlib.resources import files

    import yaml

    package = files("allotrope.graphs.work.sources.claims")
    axes = yaml.safe_load(package.joinpath("opposites.yaml").read_text(encoding="utf-8"))
    found: dict[str, list[tuple[str, int]]] = {}
    for axis, sides in axes.items():
        for sign, side in zip((1, -1), sides, strict=True):
            for word in side.split():
                found.setdefault(word, []).append((axis, sign))
    return {word: tuple(places) for word, places in found.items()}


_STILL_TO_DO = re.compile(r"\b(?:has|have|had|needs?|needed|must)(?: to)? be $", re.IGNORECASE)
"""What has to be switched on isn't on."""
_DEFINITE = re.compile(
    r"\b(?:the|its|their|this|that|der|die|das|den|dem)\s(?:\w{3,15}\s)?$", re.IGNORECASE
)
_LASTING = re.compile(
    r"\b(?:(?P<ended>no longer|not any ?more|nicht mehr)|still|remains?|remained|bleib\w{1,2}"
    r"|weiterhin|immer noch)\b",
    re.IGNORECASE,
)


def _affixed(text: str) -> bool:
    """Whether a prefix or an ending makes a word of a text negative: incompatible, harmless."""
    for match in _AFFIXED.finditer(text):
        plain = (match["plain"] or match["stem"]).lower()
        other = any(plain.startswith(word) for word in NO_AFFIX if len(word) > 3)
        if is_word(plain) and plain not in NO_AFFIX and not other:
            return True
    return False


_AFFIXED = re.compile(
    r"\b(?:(?:in|im|ir|il|dis|non|un)-?(?P<plain>[a-z]{5,20})|(?P<stem>[a-z]{3,20})less)\b",
    re.IGNORECASE,
)
NO_AFFIX = frozenset(
    words(
        "form formed cover covered covery play played close closed crease creased vest vested port "
        "ported press pressed patch come volve volved tend tended stance side sight vent vented "
        "dependent tense position positioned prove proved proving deed posed pose tribute stall "
        "stalled count counts trust cuss tally fluence tent regard mediate land state spire turn "
        "doubt"
    )
)
"""Words that mean something else with what looks like a prefix of negation."""
_ATTRIBUTES = frozenset(
    (
        "public", "gender", "season", "north", "east", "half-day", "urban", "age", "newer", "wet",
        "warm", "first", "extreme", "seller", "place", "height", "weight", "hand", "wealth",
        "bound", "share", "way", "pole", "import", "strict",
    )
)  # fmt: skip
"""Axes of what a thing is like. A negation doesn't turn them: what doesn't apply to public housing
applies to no private one by that."""


@dataclass(frozen=True)
class Sense:
    """What a clause affirms.

    Args:
        ends: The axes that it speaks of, with the ends (1 or -1) that it stands at.
        raw: The same without what negations turn round.
        scopes: The words behind each negation.
        negated: Whether it has any negation.
        negative: Whether any of its words has a negative sense, such as `denied` or `exempt`.
        loosely: Whether any may have one, such as `still` or `only`.
    """

    ends: dict[str, set[int]]
    raw: dict[str, set[int]]
    scopes: tuple[str, ...]
    negated: bool
    negative: bool
    loosely: bool


@remembered(most=4096)
def sense(clause: str) -> Sense:
    """What a clause affirms.

    Args:
        clause: A clause or a sentence.
    """
    text = _plain(_NOT_ONLY.sub(lambda match: " " * len(match.group()), clause.replace("’", "'")))
    negations = [match.span() for match in _NEGATION.finditer(text)]
    ends: dict[str, set[int]] = {}
    raw: dict[str, set[int]] = {}
    reach = [_reaches(text[start:end]) for start, end in negations]
    until = [end for _, end in negations]
    for match in WORD.finditer(text):
        places = _ends().get(match.group().lower())
        if match.group().lower() in _PARTICLES:
            places = _particle(text, match)
        if not places or _STILL_TO_DO.search(text[max(0, match.start() - 24) : match.start()]):
            continue
        near = bisect_right(until, match.start() - _REACH), bisect_right(until, match.start())
        turned = [
            n for n in range(*near) if reach[n] and not STOPS.search(text, until[n], match.start())
        ]
        if turned and _DEFINITE.search(text[max(0, match.start() - 24) : match.start()]):
            turned = []  # “have not borne the full increase”: there is an increase
        times = len(turned) + (_LITTLE.match(text, match.end()) is not None)
        if turned and _DOUBLE.search(text, negations[turned[-1]][1], match.start()):
            times += 1
        for axis, sign in places:
            raw.setdefault(axis, set()).add(sign)
            turns = times % 2 and axis not in _ATTRIBUTES
            ends.setdefault(axis, set()).add(-sign if turns else sign)
    if lasting := _LASTING.search(text):
        ends["still"] = raw["still"] = {-1 if lasting["ended"] else 1}
    negative = bool(negations or _NEGATIVE.search(text) or _UNTIL.search(clause) or _affixed(text))
    return Sense(
        ends,
        raw,
        tuple(text[end : end + 60].split(",")[0] for _, end in negations),
        bool(negations),
        negative,
        negative or _LOOSELY.search(text) is not None,
    )


@cache
def _phrases() -> tuple[re.Pattern[str], dict[str, str]]:
    from importlib.resources import files

    import yaml

    package = files("allotrope.graphs.work.sources.claims")
    read = yaml.safe_load(package.joinpath("phrases.yaml").read_text(encoding="utf-8"))
    word_of = {phrase.strip(): word for word, line in read.items() for phrase in line.split("|")}
    known = "|".join(
        re.escape(one).replace("…", r"(?:\w+\ ){0,5}?")
        for one in sorted(word_of, key=len, reverse=True)
    )
    return re.compile(rf"\b(?:{known})\b", re.IGNORECASE), word_of


def _plain(text: str) -> str:
    """With one word for each phrase that says what it says."""
    pattern, word_of = _phrases()
    return pattern.sub(lambda match: _said_as(match.group().lower(), word_of), text)


_PLACE = re.compile(r"\s(?:the\s)?[A-ZÀ-Þ]")
_STAYS = re.compile(r"\s(?:by default|permanently|all the time)|[.,;]|$")
_FOLLOWS = re.compile(r"\s(?:from|by|to|\d|some|about|nearly|almost|around)")


def _said_as(phrase: str, word_of: dict[str, str]) -> str:
    """The word for a phrase; one of two parts stands there with what lies between them."""
    if phrase in word_of:
        return word_of[phrase]
    first, *between, last = phrase.split(" ")
    return " ".join([word_of[f"{first} …{last}"], *between])


_PARTICLES = frozenset(
    ("left", "up", "down", "on", "off", "unchanged", "steady", "flat", "unverändert", "stable")
)


def _particle(text: str, match: re.Match[str]) -> tuple[tuple[str, int], ...]:
    """What `up` or `off` says where it says something: `up from 3`, `is off`."""
    word = match.group().lower()
    if word == "stable":
        kept = re.search(
            r"\b(?:remain\w*|stay\w*|kept|held|holding)\s$",
            text[max(0, match.start() - 12) : match.start()],
        )
        return (("amount", 0),) if kept else (("stable", 1),)
    if word in ("unchanged", "steady", "flat", "unverändert"):
        return (("amount", 0),)
    if word == "left":
        place = _PLACE.match(text, match.end())
        return (("join", -1),) if place else ()
    if word == "on":
        said = _STAYS.match(text, match.end())
        near = text[max(0, match.start() - 18) : match.start()].lower()
        switched = re.search(r"\b(?:switch\w{0,3}|turn\w{0,3})\s(?:\w{2,5}sel\w{1,3}\s)?$", near)
        is_on = re.search(r"\b(?:is|are|was|were|remains|stays)\s$", near) and said
        return (("enabled", 1),) if switched or is_on else ()
    if word == "off":
        near = text[max(0, match.start() - 18) : match.start()].lower()
        said = re.search(
            r"\b(?:is|are|was|were|(?:switch\w{0,3}|turn\w{0,3})(?:\s\w{2,5}sel\w{1,3})?|be"
            r"|remains|and)\s$",
            near,
        )
        return (("enabled", -1),) if said else ()
    follows = _FOLLOWS.match(text, match.end())
    return (("amount", 1 if word == "up" else -1),) if follows else ()


_REACH = 45
"""Characters behind a negation in which it turns words round."""


def _reaches(cue: str) -> bool:
    """Whether a negation turns the words behind it round."""
    low = cue.lower()
    return not low.endswith("-free") and low not in (
        "without", "free of", "ohne", "instead of", "rather than"
    )  # fmt: skip


def opposed(claim: Sense, source: Sense, *, closely: bool = True) -> str | None:
    """The axis on which a claim stands at the other end than its source, or None.

    Args:
        claim: Of the claim's clause.
        source: Of the source's clause.
        closely: Whether the claim follows its source's words, so that `before` is `before`.
    """
    for axis, ends in claim.ends.items():
        there = source.ends.get(axis)
        if claim.negated and source.negated and claim.raw[axis] & source.raw.get(axis, set()):
            continue  # both deny it, in another order of words
        if axis == "time" and not closely:
            continue  # “X before Y” is “Y after X”
        if there and not ends & there and len(ends) == 1 and len(there) == 1:
            return axis
    return None


def turned_beside(claim: str, source: str) -> str | None:
    """A word of a claim in whose place, beside the same word, its source has the opposite.

    So `the oldest edit wins and the newer one is kept` differs from `the newest edit wins and the
    older one is kept`, though both speak of old and new.

    Args:
        claim: A clause.
        source: The sentence that is nearest to it.
    """
    if sense(claim).negated != sense(source).negated:
        return None
    mine, its = _beside(claim), _beside(source)
    for (axis, neighbour), (sign, word) in mine.items():
        there = its.get((axis, neighbour))
        if there and there[0] == -sign:
            return word
    return None


def _beside(text: str) -> dict[tuple[str, str], tuple[int, str]]:
    """Per axis and following word the end at which the word before it stands; 0 for both ends."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    said = [match.group().lower() for match in WORD.finditer(_plain(text))]
    for word, follower in itertools.pairwise(said):
        for axis, sign in _ends().get(word, ()):
            if len(follower) < 4 or word in _PARTICLES or follower in _ends():
                continue
            known = found.get((axis, follower))
            found[axis, follower] = (sign if not known or known[0] == sign else 0, word)
    return found


_DOUBLE = re.compile(
    r"\b(?:exclud\w*|rul\w+ out|den(?:y|ied|ies)|doubt\w*|disput\w*|oppos\w*|prevent\w*|stop\w*"
    r"|object\w*|ausschließ\w*|bestreite\w*|descart\w*)\b",
    re.IGNORECASE,
)
"""What takes a negation back: `did not rule out a cut`."""
_LITTLE = re.compile(r"\s(?:little|hardly|barely|kaum|wenig)\b", re.IGNORECASE)


def overstated(claim: str, source: str) -> str | None:
    """A word of a claim that is stronger than anything in its source, or None.

    Args:
        claim: The claim.
        source: All that it cites.
    """
    plain = source.lower()
    for match in _FULL.finditer(claim):
        word = match.group().lower()
        stem = rf"\b{word[:4]}" if len(word) > 5 else rf"\b{word}\b"
        if claim[match.end() : match.end() + 1] == "-":
            continue
        if _NEGATION.search(claim[max(0, match.start() - 40) : match.start()]):
            continue  # “can't be turned off entirely”
        if re.search(stem, plain) or _FULL.search(source):
            continue
        if word in ("all", "entire", "alle") and _ALL_THE_SAME.search(source):
            continue  # “all its data lies in one file” for “its data lies in a single file”
        return match.group()
    bound = _ANY_SIZE.search(claim)
    return bound.group() if bound and not _ANY_SIZE.search(source) else None


_ANY_SIZE = re.compile(
    r"\b(?:of (?:any|all|every)|regardless of|no matter what|jede[rs]?) "
    r"(?:size|sizes|length|lengths|age|ages|kind|kinds|type|types|duration|amount|größe|art)\b",
    re.IGNORECASE,
)
_ALL_THE_SAME = re.compile(r"\b(?:single|sole|both|no|none|kein\w*|einzig\w*)\b", re.IGNORECASE)


def hedged(text: str) -> bool:
    """Whether a text says that something isn't certain."""
    return _HEDGE.search(text) is not None


def promised(claim: str, source: str) -> bool:
    """Whether a claim states for certain what its source holds for possible.

    Args:
        claim: The claim's clause.
        source: The source's sentence.
    """
    sure = re.search(r"\b(?:will|definitely|certainly|wird|werden|must|certain)\b", claim, re.I)
    may = re.search(
        r"\b(?:may|might|could|possible|possibly|perhaps|könnte\w*|dürfte\w*)\b", source, re.I
    )
    if _NEGATION.search(claim):
        return False
    return bool(sure and may and not hedged(claim)) and not re.search(
        r"\b(?:will|wird|werden)\b", source, re.I
    )


@cache
def _stem_ends() -> dict[str, set[tuple[str, int]]]:
    from allotrope.graphs.work.sources.claims.wording import stems

    found: dict[str, set[tuple[str, int]]] = {}
    for word, places in _ends().items():
        for in_german in (False, True):
            for stem in stems(word, in_german=in_german):
                found.setdefault(stem, set()).update(places)
    return found


def same_end(one: str, other: str) -> bool:
    """Whether two stems stand at the same end of an axis, as `rise` and `grow` do."""
    ends = _stem_ends()
    return bool(ends.get(one, set()) & ends.get(other, set()))


def has_opposite(stem: str) -> bool:
    """Whether a stem is of a word that lies on an axis."""
    return stem in _stem_ends()
