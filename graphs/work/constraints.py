"""Constraints of a brief that a program can check: length, form, words to use or avoid.

They are read from the brief by rules (English and German); what no rule understands is left to the
model's critique. A constraint is a plain dict, so that it can lie in a graph's state.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

Constraint = dict[str, Any]
"""`kind`, and what it needs: `unit`, `low`, `high`, `value`."""

_UNITS = {
    "word": "words",
    "words": "words",
    "wort": "words",
    "worte": "words",
    "wörter": "words",
    "wörtern": "words",
    "worten": "words",
    "character": "characters",
    "characters": "characters",
    "chars": "characters",
    "zeichen": "characters",
    "line": "lines",
    "lines": "lines",
    "zeile": "lines",
    "zeilen": "lines",
    "sentence": "sentences",
    "sentences": "sentences",
    "satz": "sentences",
    "sätze": "sentences",
    "sätzen": "sentences",
    "paragraph": "paragraphs",
    "paragraphs": "paragraphs",
    "absatz": "paragraphs",
    "absätze": "paragraphs",
    "absätzen": "paragraphs",
    "stanza": "paragraphs",
    "stanzas": "paragraphs",
    "strophe": "paragraphs",
    "strophen": "paragraphs",
}
_SPELLED = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "fourteen": 14,
    "twenty": 20,
    "a single": 1,
    "zwei": 2,
    "drei": 3,
    "vier": 4,
    "fünf": 5,
    "sechs": 6,
    "zehn": 10,
}
MOST = 200
"""So many constraints of a brief are kept; no text can keep more."""
_N = rf"(\d[\d,.]{{0,20}}|{'|'.join(_SPELLED)})"
_U = rf"({'|'.join(sorted(_UNITS, key=len, reverse=True))})\b"
_BETWEEN = re.compile(
    rf"\b(?:(?:between|zwischen)\s*+)?{_N}\s*+(?:and|und|to|bis|-|–)\s*+{_N}[\s-]++{_U}", re.I
)
_MOST = re.compile(
    rf"\b(?:at most|no more than|not more than|max(?:imum)?(?: of)?|maximal|up to|höchstens"
    rf"|not (?:exceed|exceeding|longer than)|≤|<=)\s*+{_N}[\s-]++{_U}",
    re.I,
)
_UNDER = re.compile(
    rf"\b(?:under|fewer than|less than|below|weniger als|unter)\s++{_N}[\s-]++{_U}",
    re.I,
)
_LEAST = re.compile(
    rf"\b(?:at least|no less than|min(?:imum)?(?: of)?|mindestens|≥|>=)\s*+{_N}[\s-]++{_U}",
    re.I,
)
_ABOUT = re.compile(
    rf"\b(?:about|around|roughly|approximately|circa|ca\.|etwa|rund|~)\s*+{_N}[\s-]++{_U}",
    re.I,
)
_EXACT = re.compile(
    rf"(?:\b(?:exactly|genau|in|of|with|mit)\s++|\b){_N}[\s-]++{_U}",
    re.I,
)
_QUOTED = r"[\"“”„'‘’«»]([^\"“”„'‘’«»\n]{1,60})[\"“”„'‘’«»]"
_LIST = rf"{_QUOTED}(?:\s*+(?:,\s*+(?:and|or)|,|and|or|und|oder|&)\s*+{_QUOTED})*"
_AVOID = re.compile(
    rf"\b(?:without(?: using)?|avoid(?:ing)?|do(?:n't| not) (?:use|mention|say|include)"
    r"|never (?:use|say)|no use of|ohne|vermeide|nicht)\s++(?:(?:the|die|das|den)\s++)?"
    rf"(?:(?:words?|phrases?|wörter|worte?)\s*+)?(?::\s*+)?{_LIST}",
    re.I,
)
_USE = re.compile(
    rf"\b(?:use|using|include|including|contain(?:ing|s)?|mention(?:ing)?|with|verwende|enthalte|mit)"
    rf"\s++(?:(?:the|die|das)\s++)?(?:words?|phrases?|names?|wörter|worte?|namen)\s*+(?::\s*+)?{_LIST}"
    rf"|\b(?:mention(?:ing)?|include|including|contain(?:ing|s)?)\s++{_LIST}",
    re.I,
)
_LETTER = re.compile(r"\b(?:without|avoid(?:ing)?|no) (?:the )?letters? [\"'“‘]?([A-Za-z])\b", re.I)
_ACROSTIC = re.compile(
    r"\bacrostic\s++(?:(?:of|for|on|spelling|that spells)\s++)?(?:the word )?"
    rf"(?:{_QUOTED}|([A-Z]{{2,20}})\b)"
)
_START = re.compile(
    r"\b(?:start|starts|starting|begin|begins|beginning) with "
    rf"(?:the (?:word|phrase|sentence) )?{_QUOTED}",
    re.I,
)
_END = re.compile(
    rf"\b(?:end|ends|ending) with (?:the (?:word|phrase|sentence) )?{_QUOTED}",
    re.I,
)
_FORMS: dict[str, Constraint] = {
    r"\bhaiku\b": {"kind": "length", "unit": "lines", "low": 3, "high": 3},
    r"\blimerick\b": {"kind": "length", "unit": "lines", "low": 5, "high": 5},
    r"\bsonn?ett?\b": {"kind": "length", "unit": "lines", "low": 14, "high": 14},
    r"\b(?:bullet(?:ed)?[ -](?:points?|list)|as bullets|stichpunkte)\b": {"kind": "bullets"},
    r"\b(?:all|in|only) lower ?case\b": {"kind": "lowercase"},
    r"\b(?:all|in|only) (?:upper ?case|capitals|caps)\b": {"kind": "uppercase"},
    r"\b(?:as|in|valid) json\b": {"kind": "json"},
    r"\bno (?:exclamation (?:marks?|points?))\b": {"kind": "avoid", "value": "!"},
    r"\bno emojis?\b": {"kind": "no_emoji"},
    r"\bno (?:digits|numbers|numerals)\b": {"kind": "no_digits"},
    r"\bno title\b": {"kind": "no_title"},
}
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def read(brief: str) -> list[Constraint]:
    """The constraints that a program can check.

    Args:
        brief: What the user wants written.

    Returns:
        Them in the order of their kinds; at most one length a unit and bound.
    """
    found: list[Constraint] = []
    rest = brief
    for pattern, bounds in (
        (_BETWEEN, lambda a, b: (a, b)),
        (_MOST, lambda a: (None, a)),
        (_UNDER, lambda a: (None, a - 1)),
        (_LEAST, lambda a: (a, None)),
        (_ABOUT, lambda a: (a - max(1, a // 10), a + max(1, a // 10))),
        (_EXACT, lambda a: (a, a)),
    ):
        for match in pattern.finditer(rest):
            *numbers, unit = match.groups()
            low, high = bounds(*(_number(text) for text in numbers))
            found.append({"kind": "length", "unit": _UNITS[unit.lower()], "low": low, "high": high})
        rest = pattern.sub(" ", rest)
    lengths = {one["unit"] for one in found}
    for form, constraint in _FORMS.items():
        if re.search(form, brief, re.I) and constraint.get("unit") not in lengths:
            found.append(dict(constraint))
    for pattern, kind in ((_AVOID, "avoid"), (_USE, "use")):
        for match in pattern.finditer(rest):
            found += [{"kind": kind, "value": w} for w in re.findall(_QUOTED, match.group())]
        rest = pattern.sub(" ", rest)
    for pattern, kind in ((_START, "start"), (_END, "end"), (_LETTER, "no_letter")):
        found += [{"kind": kind, "value": match[1]} for match in pattern.finditer(brief)]
    for match in _ACROSTIC.finditer(brief):
        found.append({"kind": "acrostic", "value": match[1] or match[2]})
    unique: list[Constraint] = []
    for one in found[:MOST]:
        if one not in unique:
            unique.append(one)
    return unique


def _number(text: str) -> int:
    known = _SPELLED.get(text.lower())
    return known if known is not None else int(re.sub(r"\D", "", text) or 0)


def sentence(constraint: Constraint) -> str:
    """A constraint for people and prompts."""
    kind, value = constraint["kind"], constraint.get("value")
    if kind == "length":
        low, high, unit = constraint["low"], constraint["high"], constraint["unit"]
        if low == high:
            return f"Exactly {low} {unit if low != 1 else unit.removesuffix('s')}."
        if low is None:
            return f"At most {high} {unit}."
        return f"At least {low} {unit}." if high is None else f"{low} to {high} {unit}."
    return {
        "use": f"Uses “{value}”.",
        "avoid": f"Doesn't use “{value}”.",
        "start": f"Starts with “{value}”.",
        "end": f"Ends with “{value}”.",
        "no_letter": f"Doesn't use the letter “{value}”.",
        "acrostic": f"The first letters of the lines spell “{value}”.",
        "bullets": "Every line is a bullet point.",
        "lowercase": "All lower case.",
        "uppercase": "All upper case.",
        "json": "Valid JSON.",
        "no_emoji": "No emoji.",
        "no_digits": "No digits.",
        "no_title": "No title.",
    }[kind]


def count(text: str, unit: str) -> int:
    """How many words, characters, lines, sentences or paragraphs a text has.

    Args:
        text: The text.
        unit: One of these.
    """
    if unit == "words":
        return len(_WORD.findall(text))
    if unit == "characters":
        return len(text.strip())
    if unit == "lines":
        return sum(1 for line in text.split("\n") if line.strip())
    if unit == "paragraphs":
        return len([part for part in re.split(r"\n\s*\n", text) if part.strip()])
    pieces = re.split(r"(?<=[.!?…])[\"”’)]*\s+(?=[\"“„‘(]?[^\W\d_a-zß-ÿ]|\d)", text.strip())
    return len([piece for piece in pieces if _WORD.search(piece)])


def broken(text: str, constraints: Sequence[Constraint]) -> list[str]:
    """What a text gets wrong, one sentence each, as an instruction that can be acted on.

    Args:
        text: The text.
        constraints: From `read`.
    """
    if not text.strip():
        return ["The text is empty."]
    return [words for one in constraints if (words := _broken(text, one))]


def _broken(text: str, one: Constraint) -> str | None:
    kind, value = one["kind"], str(one.get("value", ""))
    if kind == "length":
        has = count(text, one["unit"])
        low, high = one["low"], one["high"]
        if low is not None and has < low:
            return f"It has {has} {one['unit']}, {low - has} too few: {sentence(one)}"
        if high is not None and has > high:
            return f"It has {has} {one['unit']}, {has - high} too many: {sentence(one)}"
        return None
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    plain = text.strip().strip("\"“”„'*_ ")
    tests: dict[str, Callable[[], bool]] = {
        "use": lambda: _has(text, value),
        "avoid": lambda: not _has(text, value),
        "start": lambda: plain.lower().startswith(value.lower()),
        "end": lambda: plain.rstrip(".!?…").lower().endswith(value.lower().rstrip(".!?…")),
        "no_letter": lambda: value.lower() not in text.lower(),
        "acrostic": lambda: (
            "".join(line.strip('*_"“- ')[:1] for line in lines).lower()
            == re.sub(r"\W", "", value).lower()
        ),
        "bullets": lambda: all(re.match(r"[-*•]\s|\d+[.)]\s", line) for line in lines),
        "lowercase": lambda: text == text.lower(),
        "uppercase": lambda: text == text.upper(),
        "json": lambda: _is_json(text),
        "no_emoji": lambda: _EMOJI.search(text) is None,
        "no_digits": lambda: re.search(r"\d", text) is None,
        "no_title": lambda: not re.match(r"#|\*\*[^*\n]+\*\*\s*(\n|$)|title:", text.strip(), re.I),
    }
    return None if tests[kind]() else f"It breaks this: {sentence(one)}"


def _has(text: str, value: str) -> bool:
    if not value[0].isalnum() or not value[-1].isalnum():
        return value.lower() in text.lower()
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.I) is not None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
