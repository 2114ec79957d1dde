"""Numbers as a brief has them: digits, `1.2k`, words in English and German, dozens."""

from collections.abc import Sequence

from allotrope.graphs.work.constraints.grammar.tokens import Token
from allotrope.graphs.work.spelled import GERMAN_ONES, GERMAN_TENS, ONES, TENS, words

_ORDINALS = words(
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
)


def _spelled() -> dict[str, int]:
    known = {word: n for n, word in enumerate(ONES)} | {
        word: n for n, word in enumerate(GERMAN_ONES)
    }
    known |= {word: 10 * n for n, word in enumerate(TENS, 2)}
    for n, word in enumerate(GERMAN_TENS, 2):
        known[word] = 10 * n
        known |= {
            f"{'ein' if i == 1 else GERMAN_ONES[i]}und{word}": 10 * n + i for i in range(1, 10)
        }
    known |= dict.fromkeys(("ein", "eine", "einen", "einem", "einer"), 1)
    known |= {f"{'' if n == 1 else GERMAN_ONES[n]}hundert": 100 * n for n in range(1, 10)}
    known |= {"einhundert": 100, "tausend": 1000, "eintausend": 1000, "dreissig": 30}
    return known


SPELLED = _spelled()
_SCALES = {"hundred": 100, "thousand": 1000}


def number_at(part: Sequence[Token], at: int, *, joined: bool = True) -> tuple[int, int] | None:
    """The number that begins at a token, and where it ends; None where none does.

    Args:
        part: The tokens of a sentence.
        at: Where to look.
        joined: Whether `two hundred and ten` is one number; not behind `between`.
    """
    if at >= len(part):
        return None
    word = part[at].low
    if word[:1].isdecimal():
        return _digits(part, at)
    if word in ("a", "an", "one", "half", "two", "three", "single") and (
        found := _dozens(part, at)
    ):
        return found
    if word not in SPELLED:
        return None
    value, end = SPELLED[word], at + 1
    if value >= 20 and value % 10 == 0 and end + 1 < len(part) and part[end].text == "-":
        one = SPELLED.get(part[end + 1].low, 0)
        if 0 < one < 10:
            value, end = value + one, end + 2
    elif value >= 20 and value % 10 == 0 and end < len(part) and 0 < _one(part[end]) < 10:
        value, end = value + _one(part[end]), end + 1
    while end < len(part) and part[end].low in _SCALES:
        value, end = value * _SCALES[part[end].low], end + 1
        rest = end + 1 if end < len(part) and part[end].low == "and" and joined else end
        if rest < len(part) and part[rest].low in SPELLED and (more := number_at(part, rest)):
            value, end = value + more[0], more[1]
    return value, end


def _one(token: Token) -> int:
    return SPELLED.get(token.low, 0)


def _digits(part: Sequence[Token], at: int) -> tuple[int, int] | None:
    token = part[at]
    digits = token.text
    if len(digits) > 12:
        return None
    groups = digits.replace(",", ".").split(".")
    thousands = len(groups) > 1 and all(len(group) == 3 for group in groups[1:])
    value = float("".join(groups)) if thousands else float(".".join(groups[:2]))
    after = part[at + 1] if at + 1 < len(part) else None
    if after is not None and after.start == token.end:
        if after.low == "k":
            return round((float(".".join(groups[:2])) if thousands else value) * 1000), at + 2
        if after.low[:1].isalpha() and after.low != "ish":
            return None  # 5th, 3D
    if value != round(value):
        return None
    return round(value), at + 1


def _dozens(part: Sequence[Token], at: int) -> tuple[int, int] | None:
    words = [one.low for one in part[at : at + 3]]
    if words[:2] == ["half", "a"] and words[2:] == ["dozen"]:
        return 6, at + 3
    if len(words) > 1 and words[1] == "dozen":
        return 12 * SPELLED.get(words[0], 1), at + 2
    if words[:2] == ["a", "hundred"] or words[:2] == ["a", "thousand"]:
        return _SCALES[words[1]], at + 2
    if words[:2] in (["a", "single"], ["one", "single"]):
        return 1, at + 2
    return None


def ordinal(word: str) -> int | None:
    """The number of an ordinal, such as `second`; None where it is none."""
    return _ORDINALS.index(word) if word in _ORDINALS else None
