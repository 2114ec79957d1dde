"""Whether a number as written is a value: rounded as far as it is written, and in which unit."""

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation

from allotrope.graphs.work.tables.claims.grid import Column
from allotrope.graphs.work.tables.claims.language.quantities import WrittenNumber
from allotrope.graphs.work.tables.claims.language.units import CURRENCIES, SIZES, TIME

NEAR = Decimal("0.35")
"""How much larger than `over 100` a value may be for the words to be about it."""
JUST = Decimal("0.1")
"""How far below `almost 100` a value may be."""
LOOSE = Decimal("0.05")
"""How far off `about half` may be, of the whole."""


def fits(quantity: WrittenNumber, value: Decimal, *, any_sign: bool = False) -> bool:
    """Whether a value can be what is written.

    Args:
        quantity: The number as written.
        value: The value, in the unit that is written.
        any_sign: Whether the sign is said by words.
    """
    return any(
        _fits(reading, candidate, quantity)
        for reading in quantity.readings
        for candidate in ((value, -value) if any_sign else (value,))
    )


def _fits(written: Decimal, value: Decimal, quantity: WrittenNumber) -> bool:
    if written == value:
        return True
    if quantity.unit == "fraction" or (quantity.unit == "times" and quantity.word):
        return _loosely(written, value, quantity.hedge)
    if _rounded(written, value, _places(written)):
        return True
    if not quantity.hedge:
        return quantity.word and _rounded(written, value, _places(written))
    whole = str(abs(written.to_integral_value())).rstrip("0")
    digits = len(str(abs(written.to_integral_value()))) - len(whole)
    step = digits if _places(written) >= 0 else _places(written)
    if _rounded(written, value, step):
        return True
    if written == 0 or (written > 0) != (value > 0):
        return False
    ratio = value / written
    if quantity.hedge == "over":
        return 1 < ratio <= 1 + NEAR
    if quantity.hedge == "under":
        return 1 - NEAR <= ratio < 1
    if quantity.hedge == "almost":
        return 1 - JUST <= ratio < 1
    return abs(ratio - 1) <= Decimal("0.02")


def _loosely(written: Decimal, value: Decimal, hedge: str) -> bool:
    """`twice`, `a third`: words that people use for what is near."""
    if written == 0:
        return False
    ratio = value / written
    if hedge == "over":
        return 1 < ratio <= (Decimal("1.5") if written >= 1 else Decimal("1.3"))
    if hedge == "under":
        return Decimal("0.6") <= ratio < 1
    if hedge == "almost":
        return Decimal("0.85") <= ratio < Decimal("1.005")
    slack = JUST if hedge == "about" else LOOSE
    return abs(ratio - 1) <= slack


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _rounded(written: Decimal, value: Decimal, step: int) -> bool:
    try:
        unit = Decimal(1).scaleb(step)
        return any(
            (value / unit).quantize(Decimal(1), rounding=way) * unit == written
            for way in (ROUND_HALF_UP, ROUND_HALF_EVEN)
        )
    except InvalidOperation:
        return False


def in_unit(quantity: WrittenNumber, column: Column, value: Decimal) -> list[Decimal]:
    """A cell in the unit in which a number is written; nothing where the two don't go together.

    Args:
        quantity: The number as written.
        column: The cell's column.
        value: The cell.
    """
    unit = quantity.unit
    if unit == "fraction" and column.kind == "share":
        return [value if column.ratio else value / 100]
    if unit in ("times", "fraction"):
        return []
    if unit == "%":
        return _as_percent(column, value)
    if unit == "cent":
        return [value * 100] if column.unit in CURRENCIES or column.kind == "money" else []
    if unit in CURRENCIES:
        if column.unit in CURRENCIES:
            return [value] if unit == column.unit else []
        return _scaled(column, value) if column.kind in ("money", "") and not column.unit else []
    if unit in SIZES:
        base, size = SIZES[unit]
        if column.unit in SIZES:
            other, own = SIZES[column.unit]
            return [value * own / size] if base == other else []
        kinds = ("time", "") if unit in TIME else ("",)
        return [value] if column.kind in kinds and not column.unit else []
    if unit in ("C", "F", "deg"):
        return _as_degrees(unit, column, value)
    if unit and column.unit and unit != column.unit:
        return []
    if not unit and column.kind == "share":
        return [value]
    if unit and column.kind in ("count", "share", "money"):
        return []
    if column.scale and not unit:
        return [value, value.scaleb(-column.scale)]
    return _scaled(column, value)


def _scaled(column: Column, value: Decimal) -> list[Decimal]:
    """A cell as it stands, and in thousands or millions where the column's name may say so."""
    return [value, value.scaleb(column.perhaps)] if column.perhaps else [value]


def _as_percent(column: Column, value: Decimal) -> list[Decimal]:
    if column.unit == "%" or column.unit == "":
        if column.kind == "share":
            return [value * 100] if column.ratio else [value]
        if not column.kind and not column.unit and abs(value) <= 1:
            return [value * 100]
    return []


def _as_degrees(unit: str, column: Column, value: Decimal) -> list[Decimal]:
    if column.kind or column.unit not in ("C", "F", "deg", ""):
        return []
    if unit == column.unit or "deg" in (unit, column.unit) or not column.unit:
        return [value]
    return [value * 9 / 5 + 32] if unit == "F" else [(value - 32) * 5 / 9]
