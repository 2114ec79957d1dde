"""What a turn costs on a model and on its successor, from what turns really take."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from allotrope.support.providers import CATALOGUED
from allotrope.usage.prices.prices import Price, PriceBook
from allotrope.usage.queries.browse import TurnTokens
from allotrope.usage.recorder.tokens import Tokens

if TYPE_CHECKING:
    from allotrope.models.catalogue.lifecycle import Lifecycles
    from allotrope.usage.ledger.ledger import Ledger

DAYS = 30
"""Days of the ledger that a mean turn is taken from."""
NOMINAL = TurnTokens(0, Tokens(input=4_000, output=1_000))
"""A turn where none was recorded: a prompt with tools and some history, half a page of answer."""


@dataclass(frozen=True)
class Costs:
    """Prices and a mean turn.

    Attributes:
        now: The price of the model that serves; None: nobody knows it.
        then: The price of its successor; None: there is none, or nobody knows it.
        turn: Tokens of a mean turn; of no turns: a nominal one.
    """

    now: Price | None
    then: Price | None
    turn: TurnTokens

    @property
    def turn_now(self) -> Decimal | None:
        """USD for the turn now."""
        return None if self.now is None else self.now.cost_of_many(self.turn.mean)

    @property
    def turn_then(self) -> Decimal | None:
        """USD for a turn of as many tokens on the successor."""
        return None if self.then is None else self.then.cost_of_many(self.turn.mean)

    def to_json(self) -> dict[str, Any]:
        """Plain values; money as texts in USD."""
        mean = self.turn.mean
        return {
            "price": price_json(self.now),
            "successor_price": price_json(self.then),
            "turn": {
                "measured_turns": self.turn.turns,
                "days": DAYS if self.turn.turns else None,
                "nominal": not self.turn.turns,
                "input_tokens": mean.input,
                "cached_input_tokens": mean.cached,
                "output_tokens": mean.output,
                "cost_usd": _text(self.turn_now),
                "successor_cost_usd": _text(self.turn_then),
            },
        }


def price_json(price: Price | None) -> dict[str, Any] | None:
    """A price in USD per million tokens; None where nobody knows it."""
    if price is None:
        return None
    return {
        "input": str(price.input.base),
        "cached_input": str(price.cached.base),
        "cache_write": str(price.cache_write.base),
        "output": str(price.output.base),
        "since": None if price.since is None else price.since.isoformat(),
        "source": price.source,
    }


def _text(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{usd:.6f}"


def usd(amount: Decimal | None) -> str:
    """A turn's cost for people; `?` where no price is known."""
    if amount is None:
        return "?"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


class CostFinder:
    """Finds what turns cost.

    Args:
        prices: What models cost.
        lifecycles: Tell which snapshots belong to a model.
        ledger: What turns took; None: only nominal turns.
    """

    def __init__(
        self, prices: PriceBook, lifecycles: "Lifecycles", ledger: "Ledger | None"
    ) -> None:
        self._prices = prices
        self._lifecycles = lifecycles
        self._ledger = ledger
        self._recorded: Sequence[str] | None = None

    def costs(self, serving: str, successor: str | None) -> Costs:
        """Prices and a mean turn of a model and the one after it."""
        return Costs(
            self.price(serving),
            None if successor is None else self.price(successor),
            self._turn(serving),
        )

    def price(self, model: str) -> Price | None:
        """What a model costs now; None where nobody knows it."""
        return self._prices.price(CATALOGUED, self._lifecycles.key(model))

    def _turn(self, model: str) -> TurnTokens:
        if self._ledger is None:
            return NOMINAL
        from allotrope.usage.queries import sums as queries
        from allotrope.usage.queries.browse import turn_tokens

        window = queries.last_days(DAYS)
        if self._recorded is None:
            self._recorded = queries.choices(self._ledger, window, "model")
        key = self._lifecycles.key(model)
        names = [name for name in self._recorded if self._lifecycles.key(name) == key]
        found = turn_tokens(self._ledger, names, window) if names else NOMINAL
        return found if found.turns else NOMINAL
