"""Prices: dated, tiered, overridden, and honest where nobody knows them."""

import logging
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_openai.chat_models.base import _create_usage_metadata

from allotrope.settings.usage import PriceOverride
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.recorder.tokens import Tokens, from_usage_metadata

MILLION_EACH = Tokens(input=1_000_000, output=1_000_000)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_o3_before_and_after_the_price_cut_of_june_2025() -> None:
    book = PriceBook()
    before = book.price("openai", "o3", at=datetime(2025, 6, 9, 23, 59, tzinfo=UTC))
    after = book.price("openai", "o3-2025-04-16", at=datetime(2025, 6, 10, tzinfo=UTC))
    assert before is not None
    assert after is not None
    assert before.cost(MILLION_EACH) == Decimal(50)
    assert after.cost(MILLION_EACH) == Decimal(10)
    assert (before.since, after.since) == (None, date(2025, 6, 10))
    assert after.source.startswith("genai-prices ")


def test_cached_input_costs_less_and_the_saving_is_the_difference() -> None:
    price = PriceBook().price("openai", "o3", at=NOW)
    assert price is not None
    tokens = Tokens(input=1_000_000, cached=400_000)
    assert price.cost(tokens) == Decimal("1.4")  # 0.6 × 2 + 0.4 × 0.5
    assert price.prompt_cache_saving(tokens) == Decimal("0.6")  # 0.4 × (2 - 0.5)


@pytest.mark.parametrize(("tier", "cost"), [("flex", 5), ("priority", "17.5"), ("batch", 5)])
def test_service_tiers_of_o3(tier: str, cost: int | str) -> None:
    assert PriceBook().cost("openai", "o3", MILLION_EACH, at=NOW, tier=tier) == Decimal(cost)


def test_an_unknown_model_costs_none_and_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = PriceBook()
    with caplog.at_level(logging.WARNING):
        for day in (1, 2, 3):
            at = datetime(2026, 1, day, tzinfo=UTC)
            assert book.cost("openai", "my-finetune", MILLION_EACH, at=at) is None
        assert book.cost("no-such-provider", "x", MILLION_EACH) is None
    assert len(caplog.records) == 2
    assert "my-finetune" in caplog.text


def test_local_models_cost_nothing_and_say_so() -> None:
    price = PriceBook().price("embedded", "smollm2")
    assert price is not None
    assert price.cost(MILLION_EACH) == 0
    assert price.source == "local"


def test_overrides_are_dated_and_win() -> None:
    book = PriceBook(
        [
            PriceOverride(model="o3", input=Decimal(3), output=Decimal(9), since=date(2026, 6, 1)),
            PriceOverride(model="o3", input=Decimal(4), output=Decimal(9), since=date(2026, 9, 1)),
        ]
    )
    cost = {
        month: book.cost("openai", "o3", MILLION_EACH, at=datetime(2026, month, 2, tzinfo=UTC))
        for month in (5, 6, 9)
    }
    assert cost == {5: Decimal(10), 6: Decimal(12), 9: Decimal(13)}


@settings(max_examples=40)
@given(
    model=st.sampled_from(["o3", "o3-mini", "gpt-4.1-mini", "gpt-5-nano", "gpt-5.6-sol", "gpt-4o"]),
    whole=st.integers(0, 900_000),
    cached=st.integers(0, 900_000),
    output=st.integers(0, 120_000),
)
def test_our_arithmetic_agrees_with_the_library(
    model: str, whole: int, cached: int, output: int
) -> None:
    cached = min(cached, whole)
    theirs = calc_price(
        Usage(input_tokens=whole, cache_read_tokens=cached, output_tokens=output),
        model,
        provider_id="openai",
        genai_request_timestamp=NOW,
        price_context={"service_tier": "default"},
    )
    ours = PriceBook().cost(
        "openai", model, Tokens(input=whole, output=output, cached=cached), at=NOW
    )
    assert ours == theirs.total_price


def test_our_file_has_what_the_list_lacks_with_source_and_date() -> None:
    price = PriceBook().price("openai", "gpt-6.2-sol", at=NOW)
    assert price is not None
    assert (price.since, "developers.openai.com" in price.source) == (date(2026, 11, 17), True)
    tokens = Tokens(input=200_000, output=100_000, cached=50_000, cache_write=100_000)
    # 0.05 × 2 + 0.05 × 0.10 + 0.1 × 2.50 + 0.1 × 10
    assert price.cost(tokens) == Decimal("1.355")
    assert PriceBook().price("openai", "gpt-6.2-sol", at=datetime(2026, 11, 16, tzinfo=UTC)) is None


def test_our_file_knows_the_surcharge_and_the_flex_tier() -> None:
    book = PriceBook()
    long = Tokens(input=272_001, output=1_000_000)
    assert book.cost("openai", "gpt-6.2-astra", long, at=NOW) == Decimal("64.352016")
    short = Tokens(input=272_000, output=1_000_000)
    assert book.cost("openai", "gpt-6.2-astra", short, at=NOW) == Decimal("42.176")
    assert book.cost("openai", "gpt-6.2-astra", short, at=NOW, tier="flex") == Decimal("21.088")


def test_settings_win_over_the_list_and_the_list_over_our_file() -> None:
    def source(model: str, *overrides: PriceOverride) -> str:
        price = PriceBook(overrides).price("openai", model, at=NOW)
        assert price is not None
        return price.source.split(" ")[0]

    own = PriceOverride(model="gpt-6.2-sol", input=Decimal(1), output=Decimal(1))
    assert source("gpt-6.2-sol", own) == "settings"
    assert source("gpt-6.2-sol") == "allotrope's"
    assert source("gpt-6.1-sol") == "genai-prices"


def test_an_override_may_name_the_price_of_cache_writes() -> None:
    given = PriceOverride(
        model="m", input=Decimal(2), output=Decimal(1), cache_write=Decimal("2.5")
    )
    tokens = Tokens(input=1_000_000, cache_write=1_000_000)
    assert PriceBook([given]).cost("openai", "m", tokens, at=NOW) == Decimal("2.5")
    silent = given.model_copy(update={"cache_write": None})
    assert PriceBook([silent]).cost("openai", "m", tokens, at=NOW) == Decimal(2)


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_cached_written_and_reasoning_tokens_of_other_tiers_are_read(tier: str) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300},
        "completion_tokens_details": {"reasoning_tokens": 70},
    }
    found = from_usage_metadata(_create_usage_metadata(usage, tier))
    assert found == Tokens(input=1000, output=100, cached=600, cache_write=300, reasoning=70)
