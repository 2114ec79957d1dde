"""Unit conversion by pint, with decimal arithmetic."""

import re
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from allotrope.agents.tools.arithmetic import evaluate
from allotrope.exceptions import InputError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

LONGEST = 200
"""Characters that a quantity may have."""
_NUMBER = r"[-+−]?\s*(?:\d[\d,_]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?(?:\s*/\s*\d+)?"
_PART = re.compile(rf"({_NUMBER})\s*([^\d\s+−-][^+]*?)(?=\s*(?:{_NUMBER}\s*[^\d\s^*/.)]|$))")
_UNIT = re.compile(r"[A-Za-zµμΩ°Å%'\"²³\s_*/^().·⋅0-9-]{1,60}")
_MONEY = re.compile(r"[$€£¥₹]|\b(?:USD|EUR|GBP|JPY|CHF|INR|CNY|dollars?|euros?)\b")
_SPELLED = {
    "'": "foot",
    '"': "inch",
    "°c": "degC",
    "celsius": "degC",
    "centigrade": "degC",
    "°f": "degF",
    "fahrenheit": "degF",
    "°": "degree",
    "f": "degF",
    "c": "degC",
    "km/h": "km/hour",
    "kmh": "km/hour",
    "kph": "km/hour",
    "mph": "mile/hour",
    "mpg": "mile/gallon",
    "lbs": "pound",
    "kgs": "kilogram",
    "sqm": "m^2",
    "sq ft": "foot^2",
    "sqft": "foot^2",
    "kb": "kilobyte",
    "mb": "megabyte",
    "gb": "gigabyte",
    "tb": "terabyte",
}


@cache
def _registry() -> Any:
    """pint's registry takes a third of a second to build: once, when first needed."""
    import pint

    return pint.UnitRegistry(non_int_type=Decimal, autoconvert_offset_to_baseunit=True)


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
        raise InputError("The quantity or unit is too long.")
    if _MONEY.search(f"{quantity} {to}"):
        raise InputError("Exchange rates change every day; money can't be converted.")
    parts = [(match[1], match[2].strip()) for match in _PART.finditer(quantity.strip())]
    if not parts or _PART.sub("", quantity).strip():
        raise InputError(
            f"{quantity!r} is no quantity.", hint="Give a number and a unit, such as 5 miles."
        )
    import pint

    units = _registry()
    target = _unit(to)
    try:
        amounts = [units.Quantity(_decimal(number), _unit(unit)) for number, unit in parts]
        total = amounts[0]
        for amount in amounts[1:]:
            total = total + amount
        magnitude = Decimal(total.to(target).magnitude)
    except InputError:
        raise
    except pint.DimensionalityError as exc:
        raise InputError(f"{quantity} can't be converted to {to}: {str(exc).rstrip('.')}.") from exc
    except (pint.PintError, ArithmeticError, ValueError, TypeError) as exc:
        raise InputError(f"{quantity} can't be converted to {to}: {exc}.") from exc
    rounded = +magnitude.quantize(Decimal(1).scaleb(max(magnitude.adjusted() - 11, -40)))
    sign = "=" if abs(rounded - magnitude) <= abs(magnitude).scaleb(-20) else "≈"
    shown = f"{rounded.normalize():f}" if -9 <= rounded.adjusted() <= 20 else f"{rounded:.12g}"
    return f"{quantity.strip()} {sign} {shown} {to.strip()}"


def _decimal(number: str) -> Decimal:
    value: Fraction = evaluate(re.sub(r"\s", "", number)).value
    return Decimal(value.numerator) / Decimal(value.denominator)


def _unit(text: str) -> Any:
    import pint

    word = " ".join(text.split())
    word = _SPELLED.get(word.lower(), word).replace("·", "*").replace("⋅", "*")
    if _UNIT.fullmatch(word) is None or re.search(r"\^\s*\d{2}|\*\*\s*\d{2}|\d{4}", word):
        raise InputError(f"{text[:60]!r} is no unit.", hint="Such as km, lb, litre, km/h, degF.")
    try:
        return _registry().parse_units(word)
    except (pint.PintError, ValueError, TypeError, AttributeError, SyntaxError) as exc:
        raise InputError(
            f"{text[:60]!r} is no unit.", hint="Such as km, lb, litre, km/h, degF."
        ) from exc
    except Exception as exc:  # pint's tokenizer lets errors of Python's own tokenizer through
        raise InputError(f"{text[:60]!r} is no unit.") from exc


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
