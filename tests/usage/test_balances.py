"""What a budget's balance is made of when a store was away: nothing that was spent is forgotten.

Two `Budgets` with one ledger and one Redis stand for two processes.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from allotrope.exceptions import BudgetExceededError
from allotrope.settings import Settings
from allotrope.settings.usage import BudgetSettings
from allotrope.stores.redis.client import open_redis
from allotrope.usage.assembly import spent_so_far
from allotrope.usage.budgets.guard import Budgets
from allotrope.usage.budgets.periods import Account
from allotrope.usage.budgets.redis_reservations import RedisReservations
from allotrope.usage.budgets.reservations import (
    REDIS_PAUSE_S,
    FailoverReservations,
    LocalReservations,
)
from allotrope.usage.budgets.unwritten import KEEP_S, Unwritten
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.recorder.spill import Spill
from allotrope.usage.recorder.tokens import Tokens

BUDGET = BudgetSettings(name="b", tokens=100)


class Shop:
    """The stores that the processes share, and a clock."""

    def __init__(self, folder: Path, client: redis.Redis, prefix: str) -> None:
        self.client, self.prefix = client, prefix
        self.ledger = Ledger(f"sqlite:///{folder}/usage.db").open()
        self.spill = Spill(folder / "usage-spill.jsonl")
        self.now = 1_000_000.0
        self.reads = True

    def clock(self) -> float:
        """Each look at it is later than the one before."""
        self.now += 0.001
        return self.now

    def forget(self) -> None:
        """Redis restarts, empty."""
        for key in self.client.scan_iter(f"{self.prefix}*"):
            self.client.delete(key)

    def open_ledger(self) -> Ledger:
        if not self.reads:
            raise OSError("disk gone")
        return self.ledger


class Away:
    """A client whose Redis answers, or doesn't."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.away = False

    def __getattr__(self, name: str) -> object:
        if self.away:
            raise redis.ConnectionError("away")
        return getattr(self._client, name)

    def register_script(self, text: str) -> Callable[..., object]:
        script = self._client.register_script(text)

        def run(**given: object) -> object:
            if self.away:
                raise redis.ConnectionError("away")
            return script(**given)  # type: ignore[arg-type]

        return run


class Process:
    """Budgets of one process; its calls get into the ledger when it flushes."""

    def __init__(self, name: str, shop: Shop) -> None:
        self.name, self.shop = name, shop
        self.link = Away(shop.client)
        unwritten = Unwritten(clock=shop.clock)
        self.reservations = FailoverReservations(
            lambda: RedisReservations(
                self.link, prefix=shop.prefix, wall_clock=shop.clock, unwritten=unwritten
            ),
            LocalReservations(clock=shop.clock, unwritten=unwritten),
            clock=shop.clock,
        )
        self.budgets = Budgets(
            [BUDGET],
            reservations=self.reservations,
            prices=PriceBook(),
            spent=spent_so_far(shop.open_ledger, shop.spill),
        )
        self.batch: list[CallRow] = []
        self.made = 0

    def spend(self, tokens: int) -> None:
        """One call."""
        self.made += 1
        call = f"{self.name}{self.made}"
        self.budgets.reserve(call, {}, provider="o", model="m", tokens=Tokens(input=tokens))
        row = CallRow(id=call, at=microseconds(datetime.now(UTC)), input_tokens=tokens)
        self.budgets.settle(row)
        self.batch.append(row)

    def flush(self) -> None:
        """As the writer does."""
        self.shop.ledger.write(self.batch)
        self.budgets.written(self.batch)
        self.batch = []
        self.budgets.catch_up()

    def cant_write(self) -> None:
        """A writer whose ledger is down."""
        self.shop.spill.append(self.batch)
        self.budgets.written(self.batch)
        self.batch = []
        self.budgets.catch_up()

    def knows(self) -> int:
        """What is spent, as far as this process knows."""
        return self.budgets.state(Account(BUDGET)).balance.spent


@pytest.fixture
def shop(redis_settings: Settings, tmp_path: Path) -> Iterator[Shop]:
    client = open_redis(redis_settings)
    assert client is not None
    shop = Shop(tmp_path, client, redis_settings.redis.prefix)
    yield shop
    shop.ledger.close()
    client.close()


@pytest.fixture
def a(shop: Shop) -> Process:
    return Process("a", shop)


@pytest.fixture
def b(shop: Shop) -> Process:
    return Process("b", shop)


def test_what_no_ledger_has_yet_counts_after_redis_was_lost(
    shop: Shop, a: Process, b: Process
) -> None:
    a.spend(40)
    b.spend(30)
    shop.forget()
    assert b.knows() == 30  # the ledger has nothing, b has its own
    a.budgets.catch_up()
    assert (a.knows(), b.knows()) == (70, 70)
    a.flush()
    b.flush()
    assert (a.knows(), b.knows()) == (70, 70)  # and nothing counts twice
    shop.forget()
    assert (b.knows(), a.knows()) == (70, 70)
    with pytest.raises(BudgetExceededError):
        b.spend(31)


def test_what_was_written_after_the_ledger_was_read_counts(
    shop: Shop, a: Process, b: Process
) -> None:
    a.spend(40)
    shop.forget()
    assert b.knows() == 0
    a.flush()
    assert b.knows() == 40


def test_a_late_seed_that_has_the_call_gets_it_once(shop: Shop, a: Process, b: Process) -> None:
    a.spend(40)
    a.flush()
    shop.forget()
    assert b.knows() == 40
    a.spend(1)
    assert b.knows() == 41
    a.flush()
    shop.now += KEEP_S + 1
    a.spend(1)
    a.flush()
    assert (a.knows(), b.knows()) == (42, 42)


def test_calls_that_wait_in_the_spill_count(shop: Shop, a: Process, b: Process) -> None:
    a.spend(40)
    a.cant_write()
    shop.forget()
    assert b.knows() == 40
    assert shop.spill.pick_up(shop.ledger.write) == 1
    shop.forget()
    assert (a.knows(), b.knows()) == (40, 40)
    shop.spill.append([CallRow(id="a1", at=microseconds(datetime.now(UTC)), input_tokens=40)])
    shop.forget()  # killed between writing and removing the spill: the row is in both
    assert b.knows() == 40


def test_what_ended_while_redis_was_away_counts_when_it_is_back(
    shop: Shop, a: Process, b: Process
) -> None:
    a.spend(10)
    a.link.away = True
    a.spend(20)
    a.spend(20)
    assert b.knows() == 10
    a.link.away = False
    shop.now += REDIS_PAUSE_S
    assert a.knows() == 50
    b.budgets.catch_up()
    assert b.knows() == 50
    a.flush()
    assert (a.knows(), b.knows()) == (50, 50)


def test_without_redis_the_ledger_says_what_others_spent(
    shop: Shop, a: Process, b: Process
) -> None:
    a.link.away = b.link.away = True
    a.spend(10)
    b.spend(20)
    a.flush()
    b.flush()
    a.spend(1)
    a.flush()
    assert a.knows() == 31
    b.spend(30)
    b.flush()
    a.budgets.catch_up()
    assert a.knows() == 61
    with pytest.raises(BudgetExceededError):
        a.spend(40)


def test_a_second_outage_begins_with_what_is_spent_by_then(
    shop: Shop, a: Process, b: Process
) -> None:
    a.link.away = True
    a.spend(10)
    a.flush()
    a.link.away = False
    shop.now += REDIS_PAUSE_S
    b.spend(50)
    b.flush()
    a.link.away = True
    assert a.knows() == 60


def test_without_redis_and_ledger_what_was_known_last_holds(
    shop: Shop, a: Process, b: Process
) -> None:
    b.spend(60)  # no ledger has it
    a.spend(10)
    shop.reads = False
    shop.forget()
    a.spend(10)
    a.link.away = True
    a.spend(10)
    assert a.knows() == 90
    with pytest.raises(BudgetExceededError):
        a.spend(11)
