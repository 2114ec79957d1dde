"""Our own price file: dated prices of models that the price list doesn't have yet."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from allotrope.settings.sections import Section
from allotrope.settings.usage import PriceOverride

PRICES = Path(__file__).parent / "prices.yaml"
"""The file that ships with the package."""


class Surcharge(Section):
    """What a long prompt costs more, for the whole call.

    Attributes:
        above: Tokens of prompt from which on it holds.
        input: How many times the price of input, cached or not.
        output: How many times the price of output.
    """

    above: int = Field(gt=0)
    input: Decimal = Field(ge=1)
    output: Decimal = Field(ge=1)


class FilePrice(PriceOverride):
    """A row of the file.

    Attributes:
        surcharge: For long prompts; None: there is none.
        tiers: By service tier, how many times the standard price.
        source: Where the row comes from.
    """

    surcharge: Surcharge | None = None
    tiers: Mapping[str, Decimal] = {}
    source: str = Field(min_length=1)


@cache
def file_prices() -> Sequence[FilePrice]:
    """The rows of the file that ships with the package, the latest first; read once."""
    import yaml

    document: Mapping[str, Any] = yaml.safe_load(PRICES.read_text(encoding="utf-8"))
    rows = TypeAdapter(tuple[FilePrice, ...]).validate_python(document["prices"])
    return sorted(rows, key=lambda row: row.since, reverse=True)


def price_in_file(provider: str, model: str, day: date) -> FilePrice | None:
    """The row of a model on a day; None where there is none.

    Args:
        provider: Such as `openai`.
        model: Its name.
        day: The latest row that has begun on it counts.
    """
    found = (row for row in file_prices() if (row.provider, row.model) == (provider, model))
    return next((row for row in found if row.since <= day), None)
