"""Budgets: periods, thresholds, forecasts; refusing before the call, with and without Redis."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel

from allotrope.exceptions import BudgetExceededError, InputError, SettingsError
from allotrope.settings import Settings, load_settings
from allotrope.settings.usage import BudgetSettings, ThresholdSettings
from allotrope.stores.redis.client import open_redis
from allotrope.testing import ScriptedChatModel
from allotrope.usage.assembly import Accounting, assemble, make_reservations
from allotrope.usage.budgets import periods as pure
from allotrope.usage.budgets.guard import Budgets
from allotrope.usage.budgets.periods import Account
from allotrope.usage.budgets.redis_reservations import RedisReservations
from allotrope.usage.budgets.reservations import (
    Booking,
    FailoverReservations,
    LocalReservations,
    Reservations,
)
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.queries import sums as queries
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.recorder.tokens import Tokens

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
USD = 1_000_000_000


@pytest.mark.parametrize(
    ("period", "key", "start", "end"),
    [
        ("day", "2026-11-22", "2026-11-22", "2026-11-23"),
        ("week", "2026-W47", "2026-11-16", "2026-11-23"),
        ("month", "2026-11", "2026-11-01", "2026-12-01"),
    ],
)
def test_periods(period: str, key: str, start: str, end: str) -> None:
    found = pure.span(period, NOW)
    assert (found.key, found.start.date().isoformat()) == (key, start)
    assert found.end.date().isoformat() == end
    with pytest.raises(InputError, match="no period"):
        pure.span("fortnight", NOW)


def test_thresholds_are_left_well_below_where_they_were_entered() -> None:
    thresholds = BudgetSettings(name="b", usd=Decimal(1)).thresholds
    levels, level = [], 0
    for percent in (49, 50, 79, 81, 79, 76, 74, 81, 100, 96, 94, 44):
        level = pure.level(percent / 100, thresholds, level, 5.0)
        levels.append(level)
    assert levels == [0, 1, 1, 2, 2, 2, 1, 2, 4, 4, 3, 0]


@given(st.lists(st.floats(0, 3), max_size=30))
def test_a_level_never_flaps_inside_the_hysteresis(ratios: list[float]) -> None:
    thresholds = BudgetSettings(name="b", usd=Decimal(1)).thresholds
    level = 0
    for ratio in ratios:
        before, level = level, pure.level(ratio, thresholds, level, 5.0)
        reached = sum(ratio * 100 >= t.percent for t in thresholds)
        assert level >= reached
        if level < before:
            assert ratio * 100 < thresholds[level].percent - 5.0


def test_the_forecast_names_the_day() -> None:
    account = Account(BudgetSettings(name="team", usd=Decimal(100)))
    month = pure.span("month", NOW)
    at = datetime(2026, 11, 10, tzinfo=UTC)  # nine days gone
    found = pure.forecast(50 * USD, 100 * USD, month, at)
    assert found is not None
    said = pure.forecast_sentence(account, found)
    assert said is not None
    assert "ends on the 19th" in said
    assert "$166.67" in said
    assert pure.forecast(50 * USD, 100 * USD, month, month.start + timedelta(hours=3)) is None
    slow = pure.forecast(20 * USD, 100 * USD, month, at)
    assert slow is not None
    assert pure.forecast_sentence(account, slow) is None


def test_an_outlier_needs_history_and_money() -> None:
    usual = [Decimal("1.0"), Decimal("1.2"), Decimal("0.9")] * 20
    facts: dict[str, Any] = {"factor": 6.0, "minimum": Decimal("0.5")}
    assert pure.outlier(usual, Decimal(5), **facts)
    assert not pure.outlier(usual, Decimal("1.5"), **facts)
    assert not pure.outlier(usual[:40], Decimal(5), **facts)
    assert not pure.outlier([Decimal(0)] * 60, Decimal("0.4"), **facts)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"name": "b", "usd": -5}, "greater than 0"),
        ({"name": "b"}, "exactly one of usd and tokens"),
        ({"name": "b", "usd": 1, "period": "fortnight"}, "'day', 'week' or 'month'"),
        ({"name": "b c", "usd": 1}, "pattern"),
        ({"name": "b", "usd": 1, "thresholds": [{"percent": 80}, {"percent": 50}]}, "must rise"),
        (
            {"name": "b", "usd": 1, "thresholds": [{"percent": 80, "action": "switch_profile"}]},
            "needs a profile",
        ),
    ],
)
def test_a_bad_budget_is_one_clear_error(budget: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(environ={}, env_file=None, usage={"budgets": [budget]})


@pytest.mark.parametrize("url", ["hooks.slack.com/x", "ftp://x/y", "https://"])
def test_a_webhook_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="http:// or https://"):
        load_settings(
            environ={}, env_file=None, usage={"notifiers": [{"kind": "webhook", "url": url}]}
        )


@pytest.fixture(params=["local", "redis"])
def reservations(request: pytest.FixtureRequest) -> Iterator[tuple[Reservations, list[float]]]:
    now = [1000.0]
    if request.param == "local":
        yield LocalReservations(clock=lambda: now[0], ttl_s=60), now
        return
    settings: Settings = request.getfixturevalue("redis_settings")
    client = open_redis(settings)
    assert client is not None
    yield (
        RedisReservations(
            client, prefix=settings.redis.prefix, wall_clock=lambda: now[0], ttl_s=60
        ),
        now,
    )
    client.close()


def book(amount: int, ceiling: int | None = 100, key: str = "k") -> Booking:
    return Booking(key, amount, ceiling, 3600)


def test_reserving_settling_and_giving_back(
    reservations: tuple[Reservations, list[float]],
) -> None:
    kept, now = reservations
    refused, balances = kept.reserve("a", [book(60)], lambda _: 30)
    assert (refused, balances[0].spent, balances[0].reserved) == (None, 30, 0)
    refused, balances = kept.reserve("b", [book(11)], lambda _: 0)
    assert (refused, balances[0].used) == (0, 90)
    (after,) = kept.settle("a", [("k", 60, 5)])
    assert after is not None
    assert (after.spent, after.reserved) == (35, 0)
    assert kept.reserve("c", [book(65)], lambda _: 0)[0] is None
    assert kept.reserve("d", [book(1)], lambda _: 0)[0] == 0
    now[0] += 61  # c vanished
    assert kept.reserve("e", [book(65)], lambda _: 0)[0] is None
    kept.raise_spent("k", 90)
    kept.raise_spent("k", 10)
    _, balances = kept.reserve("f", [book(0, None)], lambda _: 0)
    assert (balances[0].spent, balances[0].reserved) == (90, 65)


def test_all_accounts_are_booked_or_none(reservations: tuple[Reservations, list[float]]) -> None:
    kept, _ = reservations
    both = [book(10, 100, "one"), book(10, 5, "two")]
    assert kept.reserve("a", both, lambda _: 0)[0] == 1
    _, balances = kept.reserve("b", [book(0, None, "one"), book(0, None, "two")], lambda _: 0)
    assert [b.used for b in balances] == [0, 0]


def test_amounts_beyond_a_hundred_thousand_dollars_stay_exact(
    reservations: tuple[Reservations, list[float]],
) -> None:
    kept, _ = reservations
    large = 123_456_789 * 10**6 + 7
    kept.reserve("a", [book(1, None)], lambda _: large)
    (after,) = kept.settle("a", [("k", 1, 1)])
    assert after is not None
    assert after.spent == large + 1


def test_what_redis_evicts_frees_no_reserved_money(
    redis_settings: Settings,
) -> None:
    """An account has two keys; a full Redis may take either."""
    client, now = open_redis(redis_settings), [0.0]
    assert client is not None
    prefix = redis_settings.redis.prefix
    kept = RedisReservations(client, prefix=prefix, wall_clock=lambda: now[0], ttl_s=60)

    def reserve(call: str, amount: int) -> int | None:
        return kept.reserve(call, [book(amount)], lambda _: 0)[0]

    hash_key, set_key = f"{prefix}{{budgets}}:k", f"{prefix}{{budgets}}:k:open"
    assert reserve("a", 60) is None
    assert client.delete(hash_key)
    assert reserve("b", 60) == 0  # a is still under way
    (after,) = kept.settle("a", [("k", 60, 10)])
    assert after is not None
    assert (after.spent, after.reserved) == (10, 0)
    # lost between a reservation and its end: nothing may go below zero
    assert reserve("c", 60) is None
    assert client.delete(hash_key)
    assert kept.settle("c", [("k", 60, 10)]) == [None]
    kept.written(["a", "c"])
    now[0] += 1  # the ledger has both when it is read
    assert kept.reserve("d", [book(0, None)], lambda _: 20)[1][0].reserved == 0
    # the other key
    assert reserve("e", 30) is None
    assert reserve("f", 30) is None
    assert client.delete(set_key)
    assert reserve("g", 30) == 0
    assert reserve("g", 20) is None
    (after,) = kept.settle("e", [("k", 30, 5)])
    assert after is not None
    assert (after.spent, after.reserved) == (25, 50)
    now[0] += 61  # f and g vanished; f's booking is in no set any more
    assert kept.reserve("h", [book(0, None)], lambda _: 0)[1][0].reserved == 0
    (after,) = kept.settle("f", [("k", 30, 1)])  # it comes after all
    assert after is not None
    assert (after.spent, after.reserved) == (26, 0)
    client.close()


class Broken:
    """Reservations whose Redis is gone."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*_: object) -> None:
            raise ConnectionError

        return fail


def test_without_redis_this_process_holds_the_budget_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = FailoverReservations(Broken, LocalReservations())  # type: ignore[arg-type] # on purpose
    assert kept.reserve("a", [book(60)], lambda _: 30)[0] is None
    assert kept.reserve("b", [book(60)], lambda _: 30)[0] == 0
    assert not kept.is_shared
    assert sum("Redis" in record.message for record in caplog.records) == 1


def make(tmp_path: Path, **usage: Any) -> Settings:
    return load_settings(
        environ={}, env_file=None, data_dir=tmp_path, redis={"embedded": False}, usage=usage
    )


@pytest.fixture
def assembled(tmp_path: Path) -> Iterator[Callable[..., list[Any]]]:
    made: list[Any] = []

    def build(**usage: Any) -> list[Any]:
        made.extend(handlers := assemble(make(tmp_path, **usage)))
        return handlers

    yield build
    for handler in made:
        if isinstance(handler, Accounting):
            handler.close()


class PricedModel(ScriptedChatModel):
    """A scripted model that says it is o3."""

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return super()._get_ls_params(stop, **kwargs) | {
            "ls_provider": "openai",
            "ls_model_name": "o3",
        }


async def call(model: BaseChatModel, how: str, config: Any) -> None:
    if how == "invoke":
        await asyncio.to_thread(model.invoke, "q", config)
    else:
        await model.ainvoke("q", config)


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_a_call_over_budget_is_refused_before_it_is_made(
    assembled: Callable[..., list[Any]], how: str
) -> None:
    handlers = assembled(
        budgets=[{"name": "ann", "scope": "user", "match": "ann", "tokens": 1500, "period": "day"}],
        expected_output_tokens=1000,
    )
    recorder = handlers[0]
    model = PricedModel()
    mine = {"callbacks": handlers, "metadata": {"allotrope_user": "ann"}}
    await call(model, how, mine)
    assert recorder.flush()
    at = microseconds(datetime.now(UTC))
    recorder.budgets.settle(CallRow(id="big", at=at, user_name="ann", input_tokens=1490))
    made = len(model.calls)
    with pytest.raises(BudgetExceededError, match="'ann' of user ann") as caught:
        await call(model, how, mine)
    assert len(model.calls) == made
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= 86_400
    await call(model, how, {"callbacks": handlers, "metadata": {"allotrope_user": "bob"}})
    assert recorder.flush()
    found = queries.totals(recorder.reading(), queries.last_days(1))
    assert found.refused == 1


class Clumsy(BaseCallbackHandler):
    """A handler of somebody else that fails."""

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError("mine")


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_a_refusal_is_told_by_its_error_and_not_in_the_log_too(
    assembled: Callable[..., list[Any]], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    handlers = assembled(budgets=[{"name": "team", "tokens": 1, "period": "day"}])
    for _ in range(2):
        with pytest.raises(BudgetExceededError, match="'team'"):
            await call(PricedModel(), how, {"callbacks": [Clumsy(), *handlers]})
    assert "The call was not made" not in caplog.text
    assert "Error in Clumsy.on_chat_model_start callback: ValueError('mine')" in caplog.text


def test_thresholds_alert_once_and_name_what_follows(
    assembled: Callable[..., list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    handlers = assembled(
        budgets=[
            {
                "name": "team",
                "tokens": 1000,
                "thresholds": [
                    {"percent": 50},
                    {"percent": 80, "action": "switch_profile", "profile": "cheap"},
                    {"percent": 95, "action": "local_only"},
                ],
            }
        ]
    )
    recorder = handlers[0]
    at = microseconds(datetime.now(UTC))
    asked = []
    for number in range(10):
        recorder.budgets.settle(CallRow(id=f"c{number}", at=at, input_tokens=1))
        recorder.budgets.directive({})
        recorder.budgets.settle(CallRow(id=f"d{number}", at=at, input_tokens=109))
        asked.append(recorder.budgets.directive({}).action)
    assert recorder.dispatcher.drain()
    assert asked[0] == "notify"
    assert asked[7] == "switch_profile"
    assert asked[9] == "local_only"
    raised = queries.alerts(recorder.reading())
    assert sorted(a["key"].rsplit("/", 1)[1] for a in raised) == ["50", "80", "95"]
    assert sum("Budget team: 80 %" in record.getMessage() for record in caplog.records) == 1
    assert "1,100 tokens of 1,000" in recorder.budgets.directive({}).message


def test_local_only_refuses_paid_models_and_lets_local_ones_answer() -> None:
    budget = BudgetSettings(
        name="b",
        usd=Decimal("0.01"),
        thresholds=(ThresholdSettings(percent=100, action="local_only"),),
    )
    budgets = Budgets(
        [budget],
        reservations=LocalReservations(),
        prices=PriceBook(),
        spent=lambda *_: units_of("0.0099"),
    )
    size = Tokens(input=1000, output=100)
    with pytest.raises(BudgetExceededError, match="Local models may still answer"):
        budgets.reserve("a", {}, provider="openai", model="o3", tokens=size)
    budgets.reserve("b", {}, provider="ollama", model="llama3.1", tokens=size)


def units_of(usd: str) -> int:
    return pure.units(Decimal(usd))


def test_a_hundred_concurrent_calls_do_not_overshoot(redis_settings: Settings) -> None:
    budget = BudgetSettings(name="b", usd=Decimal("0.10"))
    size = Tokens(input=500, output=1000)  # $0.009
    made: list[int] = []

    def process(number: int) -> None:
        budgets = Budgets(
            [budget],
            reservations=make_reservations(redis_settings),
            prices=PriceBook(),
            spent=lambda *_: 0,
        )

        def one(index: int) -> None:
            try:
                budgets.reserve(f"{number}-{index}", {}, provider="openai", model="o3", tokens=size)
            except BudgetExceededError:
                return
            made.append(index)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    both = [threading.Thread(target=process, args=(n,)) for n in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(made) == 11  # 11 × 0.009 = 0.099


def test_the_ledger_seeds_a_new_redis(
    redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = redis_settings.model_copy(
        update={
            "usage": redis_settings.usage.model_copy(
                update={"budgets": (BudgetSettings(name="b", usd=Decimal(1)),)}
            )
        }
    )
    recorder, guard = assemble(settings)
    assert isinstance(recorder, Accounting)
    recorder.reading().write(
        [CallRow(id="x", at=microseconds(datetime.now(UTC)), cost=Decimal("0.9995"))]
    )
    model = PricedModel()
    with pytest.raises(BudgetExceededError, match=r"\$0.9995 of \$1.00"):
        model.invoke("q", {"callbacks": [recorder, guard]})
    recorder.close()


def test_a_store_that_is_down_never_stops_a_turn(
    assembled: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = assembled(budgets=[{"name": "b", "usd": 1}])

    def broken(*_: object, **__: object) -> None:
        raise OSError("disk gone")

    monkeypatch.setattr(queries, "scope_sum", broken)
    assert PricedModel().invoke("q", {"callbacks": handlers}).content
