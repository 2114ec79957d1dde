"""Unit conversion by pint, with decimal arithmetic."""

import re
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from allotrope.agents.tools.arithmetic import evaluate
from allotrope.agents.tools.unit_names import alike, known_name, meant
from allotrope.exceptions import InputError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

LONGEST = 200
"""Characters that a quantity may have."""
_NUMBER = (
    r"[-+−]?\s*(?:\d[\d,_]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?(?:\s*/\s*\d+)?(?:\+\d+/\d+)?"
)
_PART = re.compile(rf"({_NUMBER})\s*([^\d\s+−-][^+]*?)(?=\s*(?:{_NUMBER}\s*[^\d\s^*/.)]|$))")
_UNIT = re.compile(r"[A-Za-zµμΩ°Å%'\"²³\s_*/^().·⋅0-9-]{1,60}")
_MONEY = re.compile(r"[$€£¥₹]|\b(?:USD|EUR|GBP|JPY|CHF|INR|CNY|dollars?|euros?)\b")
_MIXED = re.compile(r"(\d{1,6})\s+(\d{1,6})\s*/\s*(\d{1,6})(?![\d.])")
_FRACTIONS = str.maketrans({"½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3"})
_DASHED = re.compile(
    r"(\d+\s?(?:'|′|ft|foot|feet))\s?-\s?(\d+(?:\.\d+)?\s?(?:\"|″|''|in|inch|inches))"
)
_HOURS = re.compile(r"(?:h|hrs?|hours?|std)\.?", re.IGNORECASE)
_SURVEY = ("acre = 43560 * foot ** 2", "furlong = 660 * foot", "chain = 66 * foot",
           "rod = 16.5 * foot", "fathom = 6 * foot")  # fmt: skip
_INCHES = re.compile(r"(\d+\s*(?:'|′|ft|foot|feet))\s*(\d+(?:\.\d+)?)\s*")
_PER_100_KM = re.compile(r"\bl(?:it(?:er|re)s?)?\s?(?:/|per)\s?100\s?km\b", re.IGNORECASE)
_LEFT = "Give a number and a unit, such as 5 miles or 5 ft 11 in."


@cache
def _registry() -> Any:
    """pint's registry takes a third of a second to build: once, when first needed."""
    import pint

    units: Any = pint.UnitRegistry(
        non_int_type=Decimal, autoconvert_offset_to_baseunit=True, on_redefinition="ignore"
    )
    for line in _SURVEY:  # of international feet, as everywhere since 2023 (NIST); pint's are older
        units.define(line)
    return units


def convert(quantity: str, to: str) -> str:
    """Converts a quantity to another unit.

    Args:
        quantity: A number and a unit, or several of one kind: `26.2 miles`, `5 ft 11 in`.
        to: The unit wanted, for example `km`.

    Returns:
        `26.2 miles = 42.1648128 km`; `≈` where digits were dropped.

    Raises:
        InputError: A unit is unknown, or the two don't measure the same thing.
    """
    if len(quantity) > LONGEST or len(to) > 60:
        raise InputError("The quantity or unit is too long.", hint=_LEFT)
    if _MONEY.search(f"{quantity} {to}"):
        raise InputError(
            "Exchange rates change every day; money can't be converted.",
            hint="Give the rate, and calculate multiplies by it.",
        )
    parts = _parts(quantity)
    import pint

    units = _registry()
    target, *found = [_unit(name) for name in (to, *(unit for _, unit in parts))]
    target, found = _turns(target, found)
    try:
        amounts = [
            units.Quantity(number, unit) for (number, _), unit in zip(parts, found, strict=True)
        ]
        total = amounts[0]
        for amount in amounts[1:]:
            total = total + amount
        inverse = not total.is_compatible_with(target) and (1 / total).is_compatible_with(target)
        magnitude = Decimal((1 / total if inverse else total).to(target).magnitude)
    except pint.DimensionalityError as exc:
        raise InputError(
            f"{quantity} can't be converted to {to}: {str(exc).rstrip('.')}.", hint=_difference(exc)
        ) from exc
    except ZeroDivisionError as exc:
        raise InputError(
            f"{quantity} can't be converted to {to}.", hint="Give an amount other than 0."
        ) from exc
    except (pint.PintError, ArithmeticError, ValueError, TypeError) as exc:
        raise InputError(f"{quantity} can't be converted to {to}: {exc}.", hint=_LEFT) from exc
    rounded = +magnitude.quantize(Decimal(1).scaleb(max(magnitude.adjusted() - 11, -40)))
    sign = "=" if abs(rounded - magnitude) <= abs(magnitude).scaleb(-20) else "≈"
    shown = f"{rounded.normalize():f}" if -9 <= rounded.adjusted() <= 20 else f"{rounded:.12g}"
    line = f"{quantity.strip()} {sign} {shown} {to.strip()}"
    spelled = zip((*(unit for _, unit in parts), to), (*found, target), strict=True)
    notes = list(dict.fromkeys(note for name, unit in spelled for note in meant(name, f"{unit}")))
    return f"{line} ({'; '.join(notes)})" if notes else line


def _turns(target: Any, found: list[Any]) -> tuple[Any, list[Any]]:
    """Between angles a second and hertz a turn is a cycle: 60 rpm are 1 Hz, not 2π of it."""
    every = " ".join(f"{unit}" for unit in (target, *found))
    if "hertz" not in every or not re.search(r"revolution|turn|radian|degree\b", every):
        return target, found

    def turning(unit: Any) -> Any:
        prefix = re.fullmatch(r"([a-z]*)hertz", f"{unit}")
        if prefix is None:
            return unit
        cycle = units.parse_units("turn / second")
        return units.parse_units(f"{prefix[1]}turn / second") if prefix[1] else cycle

    units = _registry()
    return turning(target), [turning(unit) for unit in found]


def _difference(exc: Any) -> str:
    """What to do where two units measure different things."""
    dims = {str(exc.dim1), str(exc.dim2)}
    if any("[mass]" in dim for dim in dims) and any("[length] ** 3" in dim for dim in dims):
        return "Between a weight and a volume the density decides; give both as weight or volume."
    return "Name a unit of the same kind."


def _parts(quantity: str) -> list[tuple[Decimal, str]]:
    """The numbers and units of a quantity; the last of feet and inches needs no unit."""
    text = quantity.translate(_FRACTIONS).replace("º", "°").strip()
    text = _DASHED.sub(r"\1 \2", _PER_100_KM.sub("lphkm", text))
    text = _MIXED.sub(lambda m: f"{m[1]}+{m[2]}/{m[3]}", text)
    if found := _INCHES.fullmatch(text):
        text = f"{found[1]} {found[2]} in"
    parts = []
    rest = text
    for match in _PART.finditer(text):
        parts.append((_decimal(match[1]), match[2].strip()))
        rest = rest.replace(match.group(), "", 1)
    if not parts or rest.strip(" ,") not in ("", "and"):
        raise InputError(f"{quantity!r} is no quantity.", hint=_LEFT)
    return _one_sign(quantity, _minutes(parts))


def _one_sign(quantity: str, parts: list[tuple[Decimal, str]]) -> list[tuple[Decimal, str]]:
    """A minus before the first part is meant for all: -5 ft 3 in are -63 inches."""
    if any(number < 0 for number, _ in parts[1:]):
        raise InputError(
            f"{quantity!r} has a minus between its parts.", hint="Convert them one by one."
        )
    if parts[0][0] < 0:
        return [parts[0], *((-number, unit) for number, unit in parts[1:])]
    return parts


def _minutes(parts: list[tuple[Decimal, str]]) -> list[tuple[Decimal, str]]:
    """After hours, m is minutes: 2h 15m."""
    if not any(_HOURS.fullmatch(unit) for _, unit in parts):
        return parts
    return [(number, "min" if unit == "m" else unit) for number, unit in parts]


def _decimal(number: str) -> Decimal:
    value: Fraction = evaluate(re.sub(r"\s", "", number)).value
    return Decimal(value.numerator) / Decimal(value.denominator)


def _unit(text: str) -> Any:
    import pint

    text = text.replace("º", "°")
    word = known_name(text)
    if word is None:
        word = " ".join(text.split()).replace("·", "*").replace("⋅", "*")
        _refuse_words(word)
        if _UNIT.fullmatch(word) is None or re.search(r"\^\s*\d{2}|\*\*\s*\d{2}|\d{4}", word):
            raise _no_unit(text)
    try:
        return _registry().parse_units(word)
    except (pint.PintError, ValueError, TypeError, AttributeError, SyntaxError) as exc:
        raise _no_unit(text) from exc
    except Exception as exc:  # pint's tokenizer lets errors of Python's own tokenizer through
        raise _no_unit(text) from exc


def _refuse_words(word: str) -> None:
    """pint multiplies words with a blank between them: `cups flour` isn't a unit."""
    first, _, rest = word.partition(" ")
    if rest and known_name(first) and not re.search(r"[*/^]|\bper\b", word):
        kinds = "a volume" if "cup" in first or "liter" in (known_name(first) or "") else "a unit"
        raise InputError(
            f"{first!r} is {kinds}, but {rest[:40]!r} isn't a part of one.",
            hint="Give number and unit alone; between a weight and a volume the density decides.",
        )


def _no_unit(text: str) -> InputError:
    hint = "Such as km, lb, litre, km/h, degF, m^2."
    word = text.strip()
    if found := re.fullmatch(r"([mkg])(hz|pa|w|wh|j|v|ohm)", word.casefold()):
        base = {"hz": "Hz", "pa": "Pa", "w": "W", "wh": "Wh", "j": "J", "v": "V"}.get(
            found[2], "ohm"
        )
        prefixes = {"m": "Mm", "k": "k", "g": "G"}[found[1]]
        hint = f"Case decides: write {' or '.join(f'{one}{base}' for one in prefixes)}."
    elif near := alike(word):
        hint = f"Do you mean {near}?"
    return InputError(f"{text[:60]!r} is no unit that is known.", hint=hint)


def units_tool() -> "BaseTool":
    """The tool `convert_units` for an agent's tool list."""
    from allotrope.agents.tools.making import make_tool

    def convert_units(quantity: str, to: str) -> str:
        return convert(quantity, to)

    return make_tool(
        convert_units,
        description="Converts lengths, weights, volumes, temperatures, speeds, data sizes.",
        arguments={"quantity": "Number and unit: 5 miles, 98.6 °F, 5 ft 11 in", "to": "The unit"},
    )
