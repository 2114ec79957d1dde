"""Checking a text against the constraints of its brief."""

import json
import re
from collections.abc import Callable, Sequence

from allotrope.graphs.work.constraints import sounds
from allotrope.graphs.work.constraints.counting import BULLET, EMOJI, count, lines_of, parts_of
from allotrope.graphs.work.constraints.kinds import LANGUAGES, Constraint, sentence

_MARKS = "\"“”„'*_#>- "


def broken(text: str, constraints: Sequence[Constraint]) -> list[str]:
    """What a text gets wrong, one sentence each, as an instruction that can be acted on.

    Args:
        text: The text.
        constraints: From `read`.
    """
    if not text.strip():
        return ["The text is empty."]
    language = _language(text, constraints)
    return [words for one in constraints if (words := _broken(text, one, language))]


def unchecked(text: str, constraints: Sequence[Constraint]) -> list[str]:
    """Constraints that can't be checked in the language of a text, one sentence each.

    Args:
        text: The text.
        constraints: From `read`.
    """
    language = _language(text, constraints)
    if language == "en":
        return []
    kinds = {"rhyme", "grade"} | ({"ease"} if language != "de" else set())
    return [sentence(one) for one in constraints if one["kind"] in kinds]


def _language(text: str, constraints: Sequence[Constraint]) -> str:
    """The language of a text, where something depends on it."""
    if not any(
        one["kind"] in sounds.NEEDS or one.get("unit") == "syllables" for one in constraints
    ):
        return "en"
    asked = [str(one["value"]) for one in constraints if one["kind"] == "language"]
    if asked:
        return asked[0]
    if not sounds.available("language"):
        return "en"
    code, sure = sounds.language_of(text)
    return code if sure and code in LANGUAGES else "en"


def _broken(text: str, one: Constraint, language: str) -> str | None:
    kind, per = one["kind"], one.get("per")
    if kind == "length" and per:
        for number, part in enumerate(parts_of(text, per), 1):
            if wrong := _length(part, one, language):
                return f"{per.capitalize()} {number}: {wrong[0].lower()}{wrong[1:]}"
        return None
    if kind == "length":
        return _length(text, one, language)
    if kind in ("grade", "ease", "rhyme", "syllables", "language"):
        return _sounding(text, one, language)
    if kind == "use" and ("low" in one or "high" in one):
        has = _times(text, str(one["value"]))
        fits = (one["low"] or 0) <= has <= (has if one["high"] is None else one["high"])
        return None if fits else f"It uses it {has} times: {sentence(one)}"
    if kind == "some":
        has = sum(_has(text, value) for value in one["values"])
        fits = (one["low"] or 0) <= has <= (has if one["high"] is None else one["high"])
        return None if fits else f"It uses {has} of them: {sentence(one)}"
    parts = parts_of(text, per) if per else [text]
    holds = all(_tests(part, kind, str(one.get("value", "")))() for part in parts)
    return None if holds else f"It breaks this: {sentence(one)}"


def _length(text: str, one: Constraint, language: str) -> str | None:
    unit, low, high = one["unit"], one["low"], one["high"]
    least = most = 0
    if unit == "syllables":
        least, most = sounds.syllables(text, language)
    else:
        least = most = count(text, unit)
    if low is not None and most < low:
        return f"It has {most} {unit}, {low - most} too few: {sentence(one)}"
    if high is not None and least > high:
        return f"It has {least} {unit}, {least - high} too many: {sentence(one)}"
    return None


def _sounding(text: str, one: Constraint, language: str) -> str | None:
    kind, value = one["kind"], one.get("value")
    if kind == "language":
        code, sure = sounds.language_of(text)
        wrong = sure and code != value
        return f"It is in {LANGUAGES.get(code, code)}: {sentence(one)}" if wrong else None
    if kind == "syllables":
        lines = lines_of(text)
        wanted = [int(number) for number in value or ()]
        if len(lines) % len(wanted):
            return f"It has {len(lines)} lines: {sentence(one)}"
        for number, line in enumerate(lines):
            least, most = sounds.syllables(line, language)
            need = wanted[number % len(wanted)]
            if not least <= need <= most:
                return f"Line {number + 1} has {most} syllables, not {need}: {sentence(one)}"
        return None
    if kind == "ease" and language in ("en", "de"):
        has = sounds.ease(text, language)
        return None if has >= one["low"] else f"Its reading ease is {has:.0f}: {sentence(one)}"
    if language != "en":
        return None  # said by `unchecked`
    if kind == "grade":
        has = sounds.grade(text)
        fits = has <= one["high"] + sounds.MARGIN
        return None if fits else f"Its reading level is grade {has:.1f}: {sentence(one)}"
    trouble = sounds.rhyme_trouble(text, str(value)) if kind == "rhyme" else None
    return f"{trouble}: {sentence(one)}" if trouble else None


def _tests(text: str, kind: str, value: str) -> Callable[[], bool]:
    lines = lines_of(text)
    plain = text.strip().strip(_MARKS.replace("#", "") if value.startswith("#") else _MARKS)
    ending = text.strip().rstrip("\"“”'*_ ")
    tests: dict[str, Callable[[], bool]] = {
        "use": lambda: _has(text, value),
        "avoid": lambda: not _has(text, value),
        "start": lambda: _flat(plain).startswith(_flat(value)),
        "end": lambda: (
            _flat(ending).rstrip(".!?…").endswith(_flat(value).rstrip(".!?…"))
            if any(map(str.isalnum, value))
            else ending.endswith(value)
        ),
        "no_letter": lambda: value.lower() not in text.lower(),
        "acrostic": lambda: (
            "".join(line.strip('*_"“- ')[:1] for line in lines).lower()
            == re.sub(r"\W", "", value).lower()
        ),
        "bullets": lambda: all(BULLET.match(line) for line in lines),
        "no_bullets": lambda: not any(BULLET.match(line) for line in lines),
        "lowercase": lambda: text == text.lower(),
        "uppercase": lambda: text == text.upper(),
        "json": lambda: _is_json(text),
        "no_emoji": lambda: EMOJI.search(text) is None,
        "no_digits": lambda: re.search(r"\d", text) is None,
        "no_title": lambda: (
            not re.match(r"#\s|\*\*[^*\n]+\*\*\s*(\n|$)|title:", text.strip(), re.I)
        ),
    }
    return tests[kind]


def _flat(text: str) -> str:
    return text.lower().replace("’", "'")


def _has(text: str, value: str) -> bool:
    return _times(text, value) > 0


def _times(text: str, value: str) -> int:
    text, value = _flat(text), _flat(value)
    before = r"(?<!\w)" if value[0].isalnum() else ""
    after = r"(?!\w)" if value[-1].isalnum() else ""
    return len(re.findall(f"{before}{re.escape(value)}{after}", text))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
