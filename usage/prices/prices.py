"""Dated prices: settings, then `genai-prices` (offline, with history and tiers), then our file.

Money is `Decimal` in USD. A model nobody has a price for costs None, never 0, and one warning.
"""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from allotrope.settings.usage import PriceOverride
from allotrope.support.providers import is_local
from allotrope.usage.prices.price_file import price_in_file
from allotrope.usage.recorder.tokens import Tokens

logger = logging.getLogger(__name__)

PICO = Decimal("0.000000000001")
"""The smallest amount kept: 10⁻¹² USD. Half the cheapest cached token on the list is 2.5·10⁻⁹."""

MILLION = Decimal(1_000_000)
"""Providers on our own machine; a call costs 0 there unless an override says otherwise."""

# LangChain's `ls_provider` → the name in genai-prices, where they differ.
_PRICE_LIST_NAMES = {
    "google_genai": "google",
    "google_vertexai": "google",
    "amazon_bedrock": "aws",
    "mistralai": "mistral",
    "xai": "x-ai",
}


@dataclass(frozen=True, slots=True)
class Rate:
    """USD per million tokens; `tiers` are (more input tokens than, USD) for the whole call."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """The rate of a call with so many input tokens."""
        for start, rate in reversed(self.tiers):
            if input_tokens > start:
                return rate
        return self.base


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs on a date.

    Attributes:
        input: Rate of input tokens.
        output: Rate of output tokens, reasoning included.
        cached: Rate of input read from the provider's prompt cache.
        cache_write: Rate of input written to it.
        since: First day this price holds, where known.
        source: Where it comes from, with the version.
    """

    input: Rate
    output: Rate
    cached: Rate
    cache_write: Rate
    since: date | None
    source: str

    def cost(self, tokens: Tokens) -> Decimal:
        """Cost of one call in USD, to 10⁻¹² USD."""
        return self._cost(tokens, tokens.input)

    def cost_of_many(self, tokens: Tokens) -> Decimal:
        """Cost of many calls together in USD, none of them long enough for a dearer tier."""
        return self._cost(tokens, 0)

    def _cost(self, tokens: Tokens, size: int) -> Decimal:
        plain = tokens.input - tokens.cached - tokens.cache_write
        millions = (
            plain * self.input.at(size)
            + tokens.cached * self.cached.at(size)
            + tokens.cache_write * self.cache_write.at(size)
            + tokens.output * self.output.at(size)
        )
        return (millions / MILLION).quantize(PICO, ROUND_HALF_EVEN)

    def prompt_cache_saving(self, tokens: Tokens) -> Decimal:
        """USD that the provider's prompt cache took off: cached tokens at full price, less ours."""
        size = tokens.input
        difference = self.input.at(size) - self.cached.at(size)
        return (tokens.cached * difference / MILLION).quantize(PICO, ROUND_HALF_EVEN)


_ZERO = Rate(Decimal(0))


class PriceBook:
    """Finds prices by provider, model, day and service tier; remembers what it found.

    Args:
        overrides: Prices that win over the list. Of several for a model the latest that has begun
            on the day counts.
        quiet: Whether nothing is logged of a model without a price, for who says it himself.
    """

    def __init__(self, overrides: Iterable[PriceOverride] = (), *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._overrides = sorted(overrides, key=lambda override: override.since)
        self._found: dict[tuple[str, str, str, date], Price | None] = {}
        self._warned: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def get_ready(self) -> None:
        """Loads the price list, which takes 50 ms, before the first price is asked for."""
        from genai_prices.data_snapshot import get_snapshot

        get_snapshot()

    def price(
        self, provider: str, model: str, *, at: datetime | None = None, tier: str = "default"
    ) -> Price | None:
        """The price of a model on a day.

        Args:
            provider: `openai`, `ollama`, `embedded`, or another name of the price list.
            model: The model's name or snapshot.
            at: When the call was made (aware); default: now.
            tier: `default`, `flex`, `priority` or `batch`; a tier without an own price costs the
                standard one.

        Returns:
            The price, or None where nobody knows it (warned of once per model).
        """
        day = (at or datetime.now(UTC)).astimezone(UTC).date()
        key = (provider, model, tier, day)
        if key in self._found:
            return self._found[key]
        price = (
            self._override(provider, model, day, tier)
            or self._listed(*key)
            or self._in_file(provider, model, day, tier)
        )
        with self._lock:
            if len(self._found) > 4096:  # many days × models: start over rather than grow
                self._found.clear()
            self._found[key] = price
            if price is None and not self._quiet and (provider, model) not in self._warned:
                self._warned.add((provider, model))
                logger.warning(
                    "No price is known for model %r of %r: its calls are recorded without a cost. "
                    "Set ALLOTROPE_USAGE__PRICES to give one.",
                    model,
                    provider,
                )
        return price

    def cost(
        self,
        provider: str,
        model: str,
        tokens: Tokens,
        *,
        at: datetime | None = None,
        tier: str = "default",
    ) -> Decimal | None:
        """Cost of a call in USD, or None where no price is known."""
        price = self.price(provider, model, at=at, tier=tier)
        return None if price is None else price.cost(tokens)

    def _override(self, provider: str, model: str, day: date, tier: str) -> Price | None:
        for name in (tier, "default") if tier != "default" else ("default",):
            for override in reversed(self._overrides):
                if (override.provider, override.model, override.tier) == (
                    provider,
                    model,
                    name,
                ) and override.since <= day:
                    plain = Rate(override.input)
                    cached = plain if override.cached_input is None else Rate(override.cached_input)
                    write = plain if override.cache_write is None else Rate(override.cache_write)
                    return Price(
                        plain, Rate(override.output), cached, write, override.since, "settings"
                    )
        return None

    def _in_file(self, provider: str, model: str, day: date, tier: str) -> Price | None:
        row = price_in_file(provider, model, day)
        if row is None:
            return None
        times, more = row.tiers.get(tier, Decimal(1)), row.surcharge

        def rate(usd: Decimal, *, output: bool = False) -> Rate:
            base = usd * times
            if more is None:
                return Rate(base)
            return Rate(base, ((more.above, base * (more.output if output else more.input)),))

        return Price(
            rate(row.input),
            rate(row.output, output=True),
            rate(row.input if row.cached_input is None else row.cached_input),
            rate(row.input if row.cache_write is None else row.cache_write),
            row.since,
            f"allotrope's price file ({row.source})",
        )

    def _listed(self, provider: str, model: str, tier: str, day: date) -> Price | None:
        if is_local(provider):
            return Price(_ZERO, _ZERO, _ZERO, _ZERO, None, "local")
        import genai_prices
        from genai_prices.data_snapshot import get_snapshot

        name = _PRICE_LIST_NAMES.get(provider, provider) or None
        try:
            _, found = get_snapshot().find_provider_model(model, None, name, None)
        except LookupError:
            return None
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
        raw = found.get_prices(noon, context)
        plain, output = _rate(raw.input_mtok), _rate(raw.output_mtok)
        if plain is None and output is None:
            return None
        plain = plain or _ZERO
        return Price(
            plain,
            output or _ZERO,
            _rate(raw.cache_read_mtok) or plain,
            _rate(raw.cache_write_mtok) or plain,
            _since(found.prices, noon),
            f"genai-prices {genai_prices.__version__}",
        )


def _rate(value: Any) -> Rate | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return Rate(value)
    return Rate(value.base, tuple((tier.start, tier.price) for tier in value.tiers))


def _since(prices: Any, at: datetime) -> date | None:
    """The start date of the entry that `genai-prices` picks: the last active one."""
    if not isinstance(prices, list):
        return None
    for entry in reversed(prices):
        if entry.constraint is None or entry.constraint.active(at):
            start = getattr(entry.constraint, "start_date", None)
            return start if isinstance(start, date) else None
    return None
