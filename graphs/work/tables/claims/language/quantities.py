"""The numbers of a sentence: value, how far it is written, unit, and the words around it."""

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from allotrope.graphs.work.spelled import GERMAN_ONES, GERMAN_TENS, ONES, TENS
from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.units import CALENDAR, TIME, UNITS

LONGEST = 2_000
"""Characters of a sentence that is looked at; a longer one is no sentence."""
_SPACES = "\u00a0\u202f\u2009"
_TOKEN = re.compile(
    rf"(?P<number>\d{{1,3}}(?:[,.'’{_SPACES}]\d{{3}})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?"
    r"(?:[eE][-+]?\d{1,3})?)"
    r"|(?P<word>[^\W\d_][\w'’]*|°[CFcf]?)|(?P<sign>[%$€£¥+\-−–(),;:/&~≈|.])"
)
_ONES = {
    **{name: number for names in (ONES, GERMAN_ONES) for number, name in enumerate(names)},
    **dict.fromkeys(("ein", "eine", "einen", "einer"), 1),
    "both": 2,
    **dict.fromkeys(("dozen", "dutzend"), 12),
}
_TENS = {name: 10 * number for names in (TENS, GERMAN_TENS) for number, name in enumerate(names, 2)}
_GROUPS = {
    **dict.fromkeys(("k", "thousand", "tausend", "tsd"), 3),
    **dict.fromkeys(("m", "mn", "mio", "million", "millions", "millionen"), 6),
    **dict.fromkeys(("b", "bn", "mrd", "billion", "billions", "milliarde", "milliarden"), 9),
    **dict.fromkeys(("trillion", "trillions", "tn"), 12),
}
_FRACTIONS = {
    **dict.fromkeys(("half", "hälfte", "halb", "halben", "halves"), 2),
    **dict.fromkeys(("third", "thirds", "drittel"), 3),
    **dict.fromkeys(("quarter", "quarters", "viertel"), 4),
    **dict.fromkeys(("fifth", "fifths", "fünftel"), 5),
    **dict.fromkeys(("tenth", "tenths", "zehntel"), 10),
}
_TIMES = {
    **dict.fromkeys(("twice", "double", "doubled", "doppelt", "doppelte", "zweimal"), 2),
    **dict.fromkeys(("triple", "tripled", "dreimal", "dreifache"), 3),
    **dict.fromkeys(("quadruple", "quadrupled", "viermal", "vierfache"), 4),
    **dict.fromkeys(("fünfmal", "fünffache"), 5),
    **dict.fromkeys(("zehnmal", "zehnfache"), 10),
}
_OCCASIONS = words.word_set("out in during over between . , ) each per last since on at and")
"""After `11 times`: what says that it is a count, not a factor."""
_EACH = words.word_set("every jeder jede jedes jeden")
_CALENDAR = words.word_set(
    "day week month quarter year hour minute time tag woche monat quartal jahr stunde minute"
)
_POINTS = words.word_set("point points punkt punkte punkten")


@dataclass(frozen=True)
class WrittenToken:
    """A word, number or sign of a sentence.

    Args:
        text: In lower case.
        kind: `word`, `number` or `sign`.
        start: Where it begins.
        end: Where it ends.
    """

    text: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class WrittenNumber:
    """A number of a sentence.

    Args:
        text: As written, with its unit.
        at: Index of its first token.
        last: Index of its last token.
        readings: What it can be; the exponent says how far it is written.
        unit: As in `UNITS`; `fraction` for a half or a third; empty where there is none.
        hedge: `about`, `over`, `under`, `almost` or empty.
        negative: Whether a minus stands before it.
        word: Whether it is written as a word.
        points: Whether it is a difference of percentages (percentage points).
    """

    text: str
    at: int
    last: int
    readings: tuple[Decimal, ...]
    unit: str = ""
    hedge: str = ""
    negative: bool = False
    word: bool = False
    points: bool = False

    @property
    def whole(self) -> int | None:
        """The value, where it is a small whole number without a unit."""
        value = self.readings[0] if self.readings else Decimal("0.5")
        small = value == value.to_integral_value() and abs(value) < 100_000
        small = small and (not self.unit or self.unit in CALENDAR)
        return int(value) if small else None


@dataclass(frozen=True)
class ParsedSentence:
    """A sentence in tokens, and its numbers.

    Args:
        text: As written.
        tokens: Its words, numbers and signs.
        quantities: Its numbers, in order.
    """

    text: str
    tokens: tuple[WrittenToken, ...]
    quantities: tuple[WrittenNumber, ...] = field(default=())

    def words(self, start: int, end: int) -> list[str]:
        """The words of tokens from `start` up to, not including, `end`."""
        chosen = self.tokens[max(0, start) : max(0, end)]
        return [token.text for token in chosen if token.kind == "word"]


def tokens_of(text: str) -> tuple[WrittenToken, ...]:
    """The tokens of a sentence."""
    return tuple(
        WrittenToken(
            match.group().lower().rstrip("'’"), str(match.lastgroup), match.start(), match.end()
        )
        for match in _TOKEN.finditer(text[:LONGEST])
    )


def parse(text: str, *, taken: tuple[tuple[int, int], ...] = ()) -> ParsedSentence:
    """A sentence with its numbers.

    Args:
        text: The sentence.
        taken: Stretches of characters that are names or dates, and no numbers.
    """
    tokens = tokens_of(text)
    free = [not any(a <= token.start < b for a, b in taken) for token in tokens]
    german = words.is_german(text)
    found: list[WrittenNumber] = []
    at = 0
    while at < len(tokens):
        one = _quantity(text, tokens, at, free, german) if free[at] else None
        if one is None:
            at += 1
            continue
        found.append(one)
        at = one.last + 1
    return ParsedSentence(text, tokens, tuple(found))


def _quantity(
    text: str, tokens: tuple[WrittenToken, ...], at: int, free: list[bool], german: bool
) -> WrittenNumber | None:
    start = tokens[at]
    if start.kind == "number":
        return _numeral(text, tokens, at, free, german)
    if start.kind != "word":
        return None
    if start.text in _TIMES:
        return _made(text, tokens, at, at, (Decimal(_TIMES[start.text]),), "times", word=True)
    if start.text in _EACH and at + 1 < len(tokens):
        return _every_nth(text, tokens, at)
    count, last = _in_words(tokens, at)
    following = tokens[last + 1].text if last + 1 < len(tokens) else ""
    after = tokens[last + 2].text if last + 2 < len(tokens) else ""
    calendar = following in ("quarter", "quarters") and after != "of"
    if following in _FRACTIONS and not calendar and count:
        value = Decimal(count) / _FRACTIONS[following]
        return _made(text, tokens, at, last + 1, (value,), "fraction", word=True)
    if (start.text in ("half", "hälfte") and following not in ("a", "an")) or (
        start.text in _FRACTIONS
        and tokens[at - 1].text in ("a", "ein", "one")
        and following == "of"
    ):
        value = Decimal(1) / _FRACTIONS[start.text]
        return _made(text, tokens, at, at, (value,), "fraction", word=True)
    if start.text in ("half", "halbe", "halben") and following in ("a", "an", "the"):
        unit, end, _ = _unit(tokens, at + 1)
        if unit in TIME:
            return _made(text, tokens, at, end, (Decimal("0.5"),), unit, word=True)
    part = following in ("tenth", "fifth", "third", "quarter") and after in ("of", "the", "as")
    if start.text in ("a", "ein") and part:
        value = Decimal(1) / _FRACTIONS[following]
        return _made(text, tokens, at, at + 1, (value,), "fraction", word=True)
    single = start.text in ("one", "ein", "eine", "einen", "einer", "eins", "both")
    counted = start.text == "one" and (following in ("of", "percentage", "in") or after == "in")
    halves = [token.text for token in tokens[last + 1 : last + 4]] == ["and", "a", "half"]
    if count is None or (single and not counted and not halves):
        return None
    whole = Decimal(count)
    if [token.text for token in tokens[last + 1 : last + 4]] == ["and", "a", "half"]:
        whole, last = whole + Decimal("0.5"), last + 3
    power, last = _power(tokens, last, free)
    unit, last, points = _unit(tokens, last)
    value = whole.scaleb(power)
    return _made(text, tokens, at, last, (value,), unit, word=True, points=points)


def _every_nth(text: str, tokens: tuple[WrittenToken, ...], at: int) -> WrittenNumber | None:
    """`every fourth flight`, `jeder vierte`: a share. `Every second month` is none."""
    name = tokens[at + 1].text
    last = at + 1
    part = words.ORDINALS.get(name, 2 if name == "other" and tokens[at].text == "every" else 0)
    if name.isdigit() and at + 2 < len(tokens) and tokens[at + 2].text in ("st", "nd", "rd", "th"):
        part, last = int(name), at + 2
    following = tokens[last + 1].text if last + 1 < len(tokens) else ""
    if part < 2 or following in _CALENDAR:
        return None
    return _made(text, tokens, at, last, (Decimal(1) / part,), "fraction", word=True)


def _in_words(tokens: tuple[WrittenToken, ...], at: int) -> tuple[int | None, int]:
    """A number in words from here: its value, and its last token."""
    name = tokens[at].text
    if name in _TENS:
        value, last = _TENS[name], at
        step = 2 if at + 1 < len(tokens) and tokens[at + 1].text == "-" else 1
        nearby = tokens[at + step].text if at + step < len(tokens) else ""
        if 0 < _ONES.get(nearby, 0) < 10 and (step == 2):
            return value + _ONES[nearby], at + step
        return value, last
    for ones, number in _ONES.items():
        if name.endswith(("zig", "ßig")):
            for tens, more in _TENS.items():
                if number and name == f"{ones}und{tens}":
                    return number + more, at
    if name in _ONES:
        following = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if following in ("dozen", "dutzend"):
            return _ONES[name] * 12, at + 1
        if following in ("hundred", "hundert"):
            return _ONES[name] * 100, at + 1
        return _ONES[name], at
    return None, at


def _numeral(
    text: str, tokens: tuple[WrittenToken, ...], at: int, free: list[bool], german: bool
) -> WrittenNumber | None:
    token = tokens[at]
    before = text[token.start - 1 : token.start]
    after = text[token.end : token.end + 1]
    if before.isalpha() and before not in "$€£":
        return None  # Q3, E01
    clock = re.match(r"(\d{1,4}):(\d\d)(?::(\d\d))?(?!\d)", text[token.start : token.start + 14])
    if clock:
        return _clock(text, tokens, at, clock)
    last = at
    power = 0
    if after.isalpha():
        glued = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if glued in ("st", "nd", "rd", "th"):
            return None
        if glued not in _GROUPS and glued not in UNITS:
            return None
    readings = _readings(token.text, german)
    power, last = _power(tokens, last, free)
    unit, last, points = _unit(tokens, last)
    values = tuple(value.scaleb(power) for value in readings)
    while unit in TIME and len(values) == 1 and not points:
        smaller = _smaller(tokens, last, unit)
        if smaller is None:
            break
        more, below, last = smaller
        values = (values[0] * (TIME[unit] / TIME[below]) + more,)
        unit = below
    points = points or (tokens[last + 1].text if last + 1 < len(tokens) else "") in _POINTS
    return _made(text, tokens, at, last, values, unit, points=points)


def _smaller(
    tokens: tuple[WrittenToken, ...], last: int, unit: str
) -> tuple[Decimal, str, int] | None:
    """The minutes of `2 hours and 8 minutes`: how many, their unit, and the last token."""
    at = last + 1
    while at < len(tokens) and tokens[at].text in ("and", "und", ","):
        at += 1
    if at >= len(tokens) or tokens[at].kind != "number" or not tokens[at].text.isdigit():
        return None
    below, end, _ = _unit(tokens, at)
    if below not in TIME or TIME[below] >= TIME[unit]:
        return None
    value = Decimal(tokens[at].text)
    return (value, below, end) if value * TIME[below] < TIME[unit] else None


def _clock(
    text: str, tokens: tuple[WrittenToken, ...], at: int, clock: "re.Match[str]"
) -> WrittenNumber:
    """`28:45 hours`: hours and minutes, in hours; `:75` isn't a time, and has no reading."""
    last = at
    end = tokens[at].start + clock.end()
    while last + 1 < len(tokens) and tokens[last + 1].start < end:
        last += 1
    minutes, seconds = int(clock[2]), int(clock[3] or 0)
    unit, last, _ = _unit(tokens, last)
    right = minutes < 60 and seconds < 60
    if unit == "min":
        value = Decimal(int(clock[1])) + Decimal(minutes) / 60
    else:
        value = Decimal(int(clock[1])) + Decimal(minutes) / 60 + Decimal(seconds) / 3600
    value = value.quantize(Decimal("0.01")) if right else value
    return _made(text, tokens, at, last, (value,) if right else (), unit or "h")


def _power(tokens: tuple[WrittenToken, ...], last: int, free: list[bool]) -> tuple[int, int]:
    if last + 1 < len(tokens) and free[last + 1]:
        following = tokens[last + 1]
        glued = following.start == tokens[last].end
        if following.text in _GROUPS and (len(following.text) > 1 or glued):
            skip = (
                2
                if last + 2 < len(tokens)
                and tokens[last + 2].text == "."
                and (following.text in ("mio", "mrd", "tsd"))
                else 1
            )
            return _GROUPS[following.text], last + skip
    return 0, last


def _unit(tokens: tuple[WrittenToken, ...], last: int) -> tuple[str, int, bool]:
    """The unit after a number, its last token, and whether it is percentage points."""
    names = [token.text for token in tokens[last + 1 : last + 4]]
    if names[:1] == ["percentage"] or names[:1] == ["pp"] or names[:1] == ["prozentpunkte"]:
        return "%", last + (2 if names[0] == "percentage" else 1), True
    if names[:2] == ["per", "cent"]:
        return "%", last + 2, False
    skip = 1 if names[:1] == ["-"] else 0
    if len(names) <= skip:
        return "", last, False
    name = names[skip]
    if (
        name in ("us", "u.s")
        and len(names) > skip + 1
        and names[skip + 1] in ("dollars", "dollar", "$")
    ):
        return "usd", last + skip + 2, False
    if name in ("times", "mal") and (len(names) == skip + 1 or names[skip + 1] in _OCCASIONS):
        return "", last + skip + 1, False
    single = len(name) == 1 and name.isalpha()
    glued = tokens[last + 1].start == tokens[last].end
    alone = single and not glued and name not in ("h", "s", "g")
    if name == "t" or name == "l":
        return name, last + skip + 1, False
    if name in UNITS and not alone:
        if (
            UNITS[name] == "deg"
            and len(names) > skip + 1
            and names[skip + 1] in ("celsius", "fahrenheit", "c", "f")
        ):
            return UNITS[names[skip + 1]], last + skip + 2, False
        return UNITS[name], last + skip + 1, names[skip + 1 : skip + 2] == ["points"]
    return "", last, False


def _made(
    text: str,
    tokens: tuple[WrittenToken, ...],
    at: int,
    last: int,
    readings: tuple[Decimal, ...],
    unit: str,
    *,
    word: bool = False,
    points: bool = False,
) -> WrittenNumber:
    first, negative = at, False
    if at and tokens[at - 1].text in "$€£" and tokens[at - 1].end == tokens[at].start:
        unit = unit or UNITS[tokens[at - 1].text]
        first = at - 1
    if first and tokens[first - 1].text in ("-", "−", "–"):
        glued = tokens[first - 1].end == tokens[first].start
        before = text[tokens[first - 1].start - 1 : tokens[first - 1].start]
        negative = glued and not (before.isalnum() or before in ")%")
        first -= negative
    if first and tokens[first - 1].text == "minus":
        negative = True
    values = tuple(-value for value in readings) if negative else readings
    shown = text[tokens[first].start : tokens[last].end]
    return WrittenNumber(
        shown, at, last, values, unit, _hedge(tokens, first), negative, word, points
    )


_SMALL_WORDS = words.word_set("a the than as $ € £ at an that als to of der die das dem den")


def _hedge(tokens: tuple[WrittenToken, ...], first: int) -> str:
    near = [token.text for token in tokens[max(0, first - 4) : first]]
    for back in range(1, len(near) + 1):
        name = near[-back]
        if name in _SMALL_WORDS:
            continue
        if name == "least":
            return "over"
        if name == "most" and near[-back - 1 : -back] == ["at"]:
            return "under"
        compared = near[-back + 1 : len(near) - back + 2][:1]
        if name in words.MORE_THAN | words.LESS_THAN and compared in (["than"], ["als"]):
            return "over" if name in words.MORE_THAN else "under"
        if name in ("more", "mehr", "less", "weniger", "fewer"):
            return ""
        for hedge, names in (
            ("about", words.ABOUT),
            ("almost", words.ALMOST),
            ("over", words.OVER),
            ("under", words.UNDER),
        ):
            if name in names:
                if name == "just":
                    return "about"
                if (
                    name in ("under", "below", "over", "above")
                    and back > 1
                    and near[-back + 1] not in ("a", "the", "$", "€", "£")
                ):
                    return ""
                return hedge
        return ""
    return ""


def _readings(digits: str, german: bool) -> tuple[Decimal, ...]:
    """Each way to read digits with separators; of two, the one of the sentence's language first."""
    if len(digits) > 60:
        return ()
    text = re.sub(rf"['’{_SPACES}]", "", digits)
    ways: list[str] = []
    if "," in text and "." in text:
        thousands = "," if text.rindex(".") > text.rindex(",") else "."
        ways.append(text.replace(thousands, "").replace(",", "."))
    elif "," in text or "." in text:
        mark = "," if "," in text else "."
        groups = text.split(mark)
        grouped = all(len(group) == 3 for group in groups[1:]) and 0 < len(groups[0]) <= 3
        decimal = mark == ("," if german else ".")
        if grouped and groups[0] != "0" and not (decimal and len(groups) == 2):
            ways.append("".join(groups))
        if len(groups) == 2 and (not ways or decimal):
            ways.append(".".join(groups))
    else:
        ways.append(text)
    found = []
    for way in ways:
        try:
            value = Decimal(way)
        except InvalidOperation:
            continue
        if abs(value.adjusted()) <= 300:
            found.append(value)
    return tuple(found)
