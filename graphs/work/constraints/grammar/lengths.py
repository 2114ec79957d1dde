"""Lengths in a brief: a number, its unit, and what the words on both sides say about it.

A number with a unit is a wish only where nothing says that it belongs to the content: to the topic
(“about the two words she never said”), to something there is (“my draft has 900 words”), to a rate
(“four words a day”). In doubt it isn't read: a length that nobody asked for does more harm than one
that is left to the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from allotrope.graphs.work.constraints.grammar.amounts import number_at
from allotrope.graphs.work.constraints.grammar.phrases import after, before
from allotrope.graphs.work.constraints.grammar.quantities import Quantity, quantities
from allotrope.graphs.work.constraints.grammar.tokens import Token
from allotrope.graphs.work.constraints.grammar.vocabulary import (
    ABOUT,
    ABOVE,
    AFTER_ABOUT,
    AFTER_LOWER,
    AFTER_UPPER,
    BELOW,
    EXACT,
    GOES_ON,
    HAS,
    LOWER,
    MODAL,
    OF_TEXT,
    OURS,
    PARTS,
    PEOPLE,
    PLACED,
    PLURAL,
    RATE,
    SECTIONS,
    TEXT,
    TOLD,
    TOPIC,
    UNITS,
    UPPER,
)
from allotrope.graphs.work.constraints.kinds import Constraint
from allotrope.graphs.work.spelled import words

_WITH_PERSONS = frozenset(words("with between featuring for has have of and mit about involving"))
LONGEST_CLAUSE = 60
"""Words that are looked at before a number."""
ARTICLES = frozenset(words("a an the one ein eine einen einem einer"))
EACH = frozenset(words("each every apiece either jeweils jede jeder jedes jeden je per pro"))
NONE = frozenset(words("none neither keiner keine keines nobody"))
"""Words that give a length to each of several pieces."""
WHOLE = frozenset(
    words("whole overall altogether total insgesamt entire ; poem text story piece essay gedicht")
)
"""Words that take a length back from `each` to all of the text."""
_LINKS = frozenset(words("of that are should be with must have stay von zu mit kept is"))
_NO_NAMES = frozenset(
    words("in and or but with for about on at as to by within und oder mit als auf")
)
_ENDS = frozenset(["", *words(". , ) ! ? and each with in für for zu von à of und mit")])


_MY = frozenset(words("i i'm i've we we're we've ich wir"))
_AT_WORK = frozenset(words("writing written wrote finished schreibe geschrieben"))
"""Together they speak of a text that somebody has, not of the one that is wanted."""


@dataclass(frozen=True)
class Read:
    """A constraint, and the tokens that it was read from.

    Args:
        constraint: What is understood.
        start: Place of the first token in the brief's text.
        end: Place after the last.
        section: The part of the text that a length is meant for, such as `title`; or nothing.
        named: The noun right before a length, as in `a body of 50 words`; or nothing.
    """

    constraint: Constraint
    start: int
    end: int
    section: str = ""
    named: str = ""


def lengths(part: Sequence[Token]) -> tuple[list[Read], list[tuple[int, int]]]:
    """The lengths that a sentence asks for.

    Args:
        part: Its tokens.

    Returns:
        What was read, and where numbers with a unit stand that were taken for content.
    """
    numbers = quantities(part)
    found: list[Read] = []
    passed: list[tuple[int, int]] = []
    for n, one in enumerate(numbers):
        earlier = numbers[n - 1] if n else None
        later = numbers[n + 1] if n + 1 < len(numbers) else None
        read = _judged(part, one, earlier, later)
        if read is None:
            passed.append((part[one.start].start, part[one.end - 1].end))
        else:
            found.append(read)
    return found, passed


def _clause_start(part: Sequence[Token], at: int) -> int:
    """Where the clause begins that a token stands in."""
    last = max(0, at - LONGEST_CLAUSE)
    while at > last and part[at - 1].text not in (",", "(", ":", "–", "—", ";"):
        if part[at - 1].text == "-" and part[at - 1].start != part[at - 2].end:
            break
        at -= 1
    return at


def _judged(
    part: Sequence[Token], one: Quantity, earlier: Quantity | None, later: Quantity | None
) -> Read | None:
    from_there = earlier.end if earlier else 0
    to_there = later.start if later else len(part)
    bound, cue = _bound(part, one, to_there)
    end = one.end
    per, per_end = _per_after(part, one, earlier)
    if per is None:
        per, negated = _per_before(part, one, cue, earlier)
        if negated:
            per, bound = (per, "upper") if bound == "above" else (None, bound)
    end = max(end, per_end)
    if per is not None and bound is None:
        bound = _bound_behind(part, end)
    start = cue if cue is not None else one.start
    if per is None and not _is_wish(part, one, bound, start, from_there):
        return None
    if per is not None and per == one.unit.removesuffix("s"):
        per = None
    elif per is None and _is_shared(part, one, start, earlier, later):
        return None
    if one.unit == "syllables" and per is None:
        return None
    low, high = _limits(one, bound)
    if low is not None and high is not None and low > high:
        return None
    constraint: Constraint = {"kind": "length", "unit": one.unit, "low": low, "high": high}
    if per is not None:
        constraint["per"] = per
    section = "" if per else _section(part, start, one.end)
    named = "" if per or " " in section else _named(part, start, one.end)
    return Read(constraint, part[start].start, part[end - 1].end, section, named)


def _is_shared(
    part: Sequence[Token],
    one: Quantity,
    start: int,
    earlier: Quantity | None,
    later: Quantity | None,
) -> bool:
    """Whether a length is meant for each of several pieces that no rule can find in a text.

    `Five taglines, each under 8 words`, `three tweets, none over 200 characters` and
    `4 slogans of at most 5 words` are such; the whole text is longer.
    """
    after_it = [token.low for token in part[one.end : one.end + 2]]
    if after_it[:1] == ["max"] or after_it[:1] == ["long"]:
        after_it = after_it[1:]
    if set(after_it[:1]) & EACH and later is None:
        return True
    since = earlier.end if earlier else 0
    before_it = [token.low for token in part[max(since, start - 6) : start]]
    if set(before_it) & (EACH | NONE):
        return True
    at = start - 1
    while at >= 0 and part[at].low in _LINKS:
        at -= 1
    if at < 1 or at == start - 1 or not part[at].low.endswith("s") or part[at].low in UNITS:
        return False
    for back in range(at - 1, max(-1, at - 4), -1):
        known = number_at(part, back)
        if known is not None and known[1] <= at:
            return known[0] > 1
    return False


def _named(part: Sequence[Token], start: int, end: int) -> str:
    """The noun that a length goes with: `a body of 50 words`, `a one-sentence pitch`."""
    if start and part[start - 1].low in ARTICLES and end < len(part) and part[end].low.isalpha():
        return part[end].low
    at = start - 1
    while at >= 0 and part[at].low in _LINKS | {"("}:
        at -= 1
    if at >= 0 and part[at].low in _NO_NAMES | UNITS.keys():
        return ""
    has_article = any(part[n].low in ARTICLES for n in range(max(0, at - 3), max(0, at)))
    return part[at].low if at >= 1 and has_article and part[at].low.isalpha() else ""


def _section(part: Sequence[Token], start: int, end: int) -> str:
    """The part of a text that is named right before a length, or as in `a 20-word outro`."""
    if end < len(part) and part[end].low in SECTIONS:
        return part[end].low
    at, skipped = start - 1, 0
    while at >= 0 and skipped < 5 and (
        part[at].low in MODAL | HAS | {":", "(", ",", "of", "with", "be", "line", "a", "an", "-",
                                          "length", "not", "it", "no", "kept"}
    ):  # fmt: skip
        at, skipped = at - 1, skipped + 1
    if at < 0:
        return ""
    low = part[at].low
    aside = any(one.text == "," for one in part[at + 1 : start])
    if aside and any(one.low in ("in", "im", "at") for one in part[max(0, at - 3) : at]):
        return ""  # “with a moral in the last sentence, 150 words”
    if low in SECTIONS or (low in ("second", "third", "fourth", "last") and at):
        return low
    if low in PARTS and at and part[at - 1].low in (
        "first", "second", "third", "fourth", "last", "final", "opening", "closing", "next",
        "erste", "zweite", "letzte", "1st", "2nd",
    ):  # fmt: skip
        return f"{part[at - 1].low} {low}"
    return ""


def _bound(part: Sequence[Token], one: Quantity, to_there: int) -> tuple[str | None, int | None]:
    """How the number is meant, and where the words begin that say so."""
    at = one.start
    if one.labelled:
        label = {part[n].low for n in range(one.start, one.end)}
        if (at and part[at - 1].low in ("max", "maximum", ".")) or label & {
            "limit",
            "max",
            "maximum",
        }:
            return "upper", None
        if (at and part[at - 1].low in ("min", "minimum")) or label & {"min", "minimum"}:
            return "lower", None
        return ("about" if "about" in label or "approximately" in label else None), None
    about = before(part, at, ABOUT)
    place = about if about is not None else at
    if part[place - 1].low in ("a", "an", "the") and place > 1:
        place -= 1
    for name, known in (
        ("exact", EXACT), ("upper", UPPER), ("lower", LOWER), ("below", BELOW),
        ("above", ABOVE),
    ):  # fmt: skip
        start = before(part, place, known)
        if start is None:
            continue
        negated = part[start - 1].low in ("not", "no", "never", "nicht") if start else False
        if name == "above" and negated:
            return "upper", start - 1
        if name == "below" and negated:
            return "lower", start - 1
        return name, start
    if part[place - 1].low == "to" and place:
        verbs = {part[n].low for n in range(max(0, place - 12), place)}
        if verbs & {"limit", "limits", "cap", "restrict", "keep"} and not one.ranged:
            return "upper", place - 1
    nxt = one.end
    while nxt < to_there and part[nxt].text in ("(", ",", "in", "length", "long", "in-depth"):
        nxt += 1
    for name, known in (("upper", AFTER_UPPER), ("lower", AFTER_LOWER), ("about", AFTER_ABOUT)):
        stop = after(part, nxt, known)
        if stop is None or (stop == to_there and stop < len(part)):
            continue  # it belongs to the number that follows
        if stop < len(part) and number_at(part, stop) is not None:
            continue
        return name, None
    if about is not None:
        return "about", about
    return None, None


def _bound_behind(part: Sequence[Token], at: int) -> str | None:
    """`at most` in `35 words per paragraph at most`."""
    for name, known in (("upper", AFTER_UPPER), ("lower", AFTER_LOWER), ("about", AFTER_ABOUT)):
        stop = after(part, at, known)
        if stop is not None and (stop >= len(part) or number_at(part, stop) is None):
            return name
    return None


def _limits(one: Quantity, bound: str | None) -> tuple[int | None, int | None]:
    low, high = one.low, one.high
    if one.spread is not None:
        by = one.spread / 100 * low if one.share else one.spread
        return round(low - by), round(high + by)
    if one.open:
        return low, None
    if one.ranged:
        return low, high
    match bound:
        case "upper":
            return None, high
        case "below":
            return None, high - 1
        case "lower":
            return low, None
        case "above":
            return low + 1, None
        case "about":
            by = max(1, low // 10)
            return max(1, low - by), high + by
    return low, high


def _per_after(
    part: Sequence[Token], one: Quantity, earlier: Quantity | None
) -> tuple[str | None, int]:
    """What follows as in `50 words each` or `4 lines per stanza`; where it ends."""
    at = one.end
    skip = at
    while skip < len(part) and skip - at < 3 and part[skip].low in (
        "max", "maximum", "at", "most", "long", "in", "for", "within", "of", "minimum", "(",
    ):  # fmt: skip
        skip += 1
    if skip >= len(part) or part[skip].low not in ("each", "per", "pro", "je", "apiece", "every",
                                                   "jeweils"):  # fmt: skip
        return None, at
    for n in (skip + 1, skip + 2):
        if n < len(part) and part[n].low in PARTS:
            return PARTS[part[n].low], n + 1
    if part[skip].low in ("each", "apiece", "jeweils") and earlier and earlier.low > 1:
        return _part_of(earlier), skip + 1
    return None, at


def _part_of(one: Quantity) -> str | None:
    named = one.unit.removesuffix("s")
    return named if named in PARTS.values() else None


def _per_before(
    part: Sequence[Token], one: Quantity, cue: int | None, earlier: Quantity | None
) -> tuple[str | None, bool]:
    """What each part is named before the number; and whether `no` turns `longer` into a limit."""
    first = cue if cue is not None else one.start
    for at in range(first - 1, max(-1, first - 14), -1):
        word = part[at].low
        if word in WHOLE:
            return None, False
        if word in ("each", "every", "jede", "jeder", "jedes", "jeden", "per", "pro", "je",
                    "jeweils", "any"):  # fmt: skip
            for n in (at + 1, at + 2):
                if n < first and part[n].low in PARTS:
                    return PARTS[part[n].low], False
            close = first - at <= 4 or at >= first - 1
            if close and earlier and earlier.low > 1 and earlier.end <= at + 1:
                return _part_of(earlier), False
            return None, False
        if word in NONE and earlier and earlier.low > 1 and earlier.end <= at and at >= first - 1:
            return _part_of(earlier), True
        if word in ("no", "kein", "keine") and at + 1 < len(part) and part[at + 1].low in PARTS:
            return PARTS[part[at + 1].low], True
        if word in ("all", "alle", "keep") and at + 1 < first and part[at + 1].low in PLURAL:
            return PARTS[part[at + 1].low], False
    at, skipped = first - 1, 0
    while at >= 0 and part[at].low in _LINKS and skipped < 3:
        at, skipped = at - 1, skipped + 1
    if at < 0 or part[at].low not in PLURAL or UNITS[part[at].low] == one.unit:
        return None, False
    between = {part[n].low for n in range(at + 1, first)}
    counted = earlier is not None and at < earlier.end
    if counted and earlier is not None and earlier.low < 2:
        return None, False
    if "of" in between or "von" in between or "zu" in between:
        return PARTS[part[at].low], False
    if cue is not None and ("with" not in between or not counted):
        return PARTS[part[at].low], False
    return None, False


def _is_wish(
    part: Sequence[Token], one: Quantity, bound: str | None, start: int, from_there: int
) -> bool:
    """Whether a number with a unit is a length that was asked for."""
    if one.labelled:
        return True
    if after(part, one.end, RATE) is not None:
        return False
    previous = part[start - 1].low if start else ""
    follows = part[one.end].low if one.end < len(part) else ""
    if previous in OURS | PLACED and not (previous == "the" and bound):
        return False
    clause = range(_clause_start(part, start), start)
    words = [part[n].low for n in clause]
    if one.unit == "characters" and one.high < 40:
        bounded = bound in ("upper", "below") and previous not in _WITH_PERSONS
        if not bounded:
            return follows in ("long", "including", "incl", "total")  # else they are persons
    if set(words) & _MY and set(words) & _AT_WORK:
        return False
    if previous in HAS:
        subject = part[start - 2].low if start > 1 else ""
        if not (set(words) & MODAL or (subject in TEXT and not set(words) & OURS - {"the"})):
            return False
    if set(words) & PEOPLE and not set(words) & MODAL:
        direct = previous in ("in", "within", "using", "innerhalb")
        if not direct or set(words) & TOLD:
            return False
    if bound is not None or one.ranged or one.spread is not None or one.open:
        return not (follows == "of" and _noun_after_of(part, one.end))
    if follows in GOES_ON and not (follows == "of" and not _noun_after_of(part, one.end)):
        is_form = follows == "that" and one.end + 1 < len(part) and part[one.end + 1].low in (
            "rhyme", "rhymes", "start", "starts", "begin", "end", "use", "each", "contain",
        )  # fmt: skip
        topical = follows == "on" or (follows == "at" and one.unit in ("emojis", "hashtags"))
        if not is_form and not topical:
            return False
    topical_words = [n for n, word in enumerate(words) if word in TOPIC]
    if topical_words:
        inside = words[topical_words[-1] + 1 :]
        if previous in ("in", "within", "using", "innerhalb"):
            return True
        ends = follows in _ENDS
        formal = one.unit in ("lines", "paragraphs", "sentences", "words", "hashtags", "bullets")
        joined = previous in ("with", "as", "als", "of", "mit", "to", "von", "aus")
        return bool(inside) and joined and ends and formal and not one.attribute
    return True


def _noun_after_of(part: Sequence[Token], at: int) -> bool:
    """Whether `of` is followed by what the words are of: code, advice, Latin."""
    if at + 1 >= len(part) or part[at + 1].low in OF_TEXT | {"at", "no", "up", "roughly"}:
        return False
    return number_at(part, at + 1) is None
