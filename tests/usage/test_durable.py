"""What the ledger must live through: odd names, poisoned rows, a held lock, a damaged file."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from allotrope.exceptions import BudgetExceededError, StoreError
from allotrope.settings import load_settings
from allotrope.settings.usage import BudgetSettings
from allotrope.testing import ScriptedChatModel
from allotrope.usage.assembly import assemble
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.recorder.recorder import UsageRecorder
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.recorder.spill import Spill

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LONE = "bob \ud83d"
"""Half of an emoji, as a client that cuts texts by UTF-16 units sends it."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/usage.db"


@pytest.fixture
def recorder(url: str) -> Iterator[UsageRecorder]:
    made = UsageRecorder(url)
    yield made
    made.close()


def call(recorder: UsageRecorder, user: str) -> None:
    model = ScriptedChatModel(answers=["a"])
    metadata = {"allotrope_user": user, "thread_id": "t"}
    model.invoke("hi", config={"callbacks": [recorder], "metadata": metadata})


def users(url: str) -> list[str]:
    with Ledger(url) as ledger:
        return sorted(row["user_name"] for row in queries.rows(ledger, queries.last_days(2)))


def test_a_name_that_is_no_unicode_ends_nothing(recorder: UsageRecorder, url: str) -> None:
    for user in ("alice", LONE, "nul\x00", "carol"):
        call(recorder, user)
        assert recorder.flush()
    assert recorder.stats.written == 4
    assert recorder.stats.lost == 0
    assert users(url) == ["alice", "bob ?", "carol", "nul?"]


def test_scores_and_exposures_take_such_names_too(url: str) -> None:
    with Ledger(url) as ledger:
        ledger.record_feedback(LONE, 1.0, note="\udc00")
        assert ledger.record_exposure("tone", LONE, "warm")
        assert not ledger.record_exposure("tone", LONE, "warm")
        assert queries.exposures(ledger, "tone")[0]["unit"] == "bob ?"


def test_a_budget_holds_for_such_a_user(tmp_path: Path) -> None:
    settings = load_settings(
        environ={}, env_file=None, data_dir=tmp_path, redis={"embedded": False},
        usage={"budgets": (BudgetSettings(name="each", tokens=1, scope="user"),)},
    )  # fmt: skip
    handlers = assemble(settings)
    with pytest.raises(BudgetExceededError):
        ScriptedChatModel(answers=["a"]).invoke(
            "hi", config={"callbacks": handlers, "metadata": {"allotrope_user": LONE}}
        )


class Picky(Ledger):
    """Refuses one user's rows, as a database does that can't store a value."""

    failure: type[Exception] = OverflowError

    def write(self, rows: Sequence[CallRow]) -> int:
        if any(row.user_name == "bad" for row in rows):
            raise self.failure("Python int too large to convert to SQLite INTEGER")
        return super().write(rows)


@pytest.mark.parametrize("failure", [OverflowError, UnicodeError, RuntimeError])
def test_a_row_that_cannot_be_stored_takes_no_other_with_it(
    tmp_path: Path, url: str, failure: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Picky(url)
    ledger.failure = failure
    recorder = UsageRecorder(ledger)
    for user in ("alice", "bad", "carol"):
        call(recorder, user)
    assert recorder.flush()
    call(recorder, "dora")
    assert recorder.flush()
    assert (recorder.stats.written, recorder.stats.lost) == (3, 1)
    assert f"can't be stored ({failure.__name__})" in caplog.text
    recorder.close()
    assert users(url) == ["alice", "carol", "dora"]


def test_such_a_row_in_the_spill_does_not_keep_the_others_there(tmp_path: Path, url: str) -> None:
    at = microseconds(datetime.now(UTC))
    names = ["bad", "carol"]
    Spill(tmp_path / "usage-spill.jsonl").append(
        CallRow(id=name, at=at, user_name=name) for name in names
    )
    recorder = UsageRecorder(Picky(url))
    call(recorder, "alice")
    assert recorder.flush()
    recorder.close()
    assert users(url) == ["alice", "carol"]
    assert not (tmp_path / "usage-spill.jsonl").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # we end it
def test_a_writer_whose_thread_died_is_started_again_and_flush_says_what_is_true(
    recorder: UsageRecorder, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the thread (here: an exit from within), later calls are recorded."""
    call(recorder, "alice")
    assert recorder.flush()
    first = recorder.writer._thread
    assert first is not None
    took = recorder.writer._take
    dying, queued = threading.Event(), threading.Event()

    def end(*_: Any) -> None:
        dying.set()
        queued.wait(60)
        monkeypatch.setattr(recorder.writer, "_take", took)
        raise SystemExit

    monkeypatch.setattr(recorder.writer, "_take", end)
    call(recorder, "bob")
    assert dying.wait(60)
    call(recorder, "carol")
    queued.set()
    first.join(60)
    assert not first.is_alive()
    assert recorder.writer.waiting()
    assert not recorder.flush()  # nobody is there to write what waits
    call(recorder, "dora")
    assert recorder.flush()
    assert {"alice", "carol", "dora"} <= set(users(url))


def test_reading_waits_for_no_writer(url: str, tmp_path: Path) -> None:
    Ledger(url).open().close()
    with closing(sqlite3.connect(tmp_path / "usage.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with Ledger(url) as ledger:  # else: "database is locked", after two seconds
            assert queries.totals(ledger, queries.last_days(1)).calls == 0
        holder.execute("ROLLBACK")


def test_two_that_open_an_empty_ledger_at_once_agree(url: str) -> None:
    barrier, salts = threading.Barrier(8), list[bytes]()

    def open_it() -> None:
        barrier.wait()
        with Ledger(url) as ledger:
            salts.append(ledger.salt)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(salts) == 8
    assert len(set(salts)) == 1


def test_zeros_come_back_from_the_spill_as_zeros(tmp_path: Path) -> None:
    zeros = CallRow(
        id="a", at=1, ttft_ms=0.0, output_limit=0, context_tokens=0, context_full_tokens=0,
        context_window=0, cost=Decimal(0), saved_cost=Decimal(0),
    )  # fmt: skip
    found: list[CallRow] = []
    spill = Spill(tmp_path / "s.jsonl")
    spill.append([zeros, CallRow(id="b", at=2)])
    spill.pick_up(found.extend)
    assert found == [zeros, CallRow(id="b", at=2)]
    assert found[0].ttft_ms == 0.0
    assert found[1].ttft_ms is None


def test_half_a_line_in_the_spill_costs_no_other_and_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s.jsonl"
    spill = Spill(path)
    spill.append([CallRow(id="a", at=1)])
    with path.open("ab") as file:
        file.write(b'{"id": "b", "a')  # the machine went down here
    spill.append([CallRow(id="c", at=3)])
    found: list[CallRow] = []
    assert spill.pick_up(found.extend) == 2
    assert [row.id for row in found] == ["a", "c"]
    [kept] = tmp_path.glob("s.jsonl.damaged-*")
    assert kept.read_bytes() == b'{"id": "b", "a\n'
    assert str(kept) in caplog.text


def damaged(path: Path) -> None:
    """Overwrites three pages in the middle of a ledger's file."""
    with closing(sqlite3.connect(path)) as raw:
        page = raw.execute("PRAGMA page_size").fetchone()[0]
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    middle = len(data) // page // 2 * page
    data[middle : middle + 3 * page] = b"\xff" * (3 * page)
    path.write_bytes(data)


def row(number: int, at: datetime, **more: Any) -> CallRow:
    fields = {"model": "o3", "agent": "assistant", "cost": Decimal("0.01"), "input_tokens": 10}
    return CallRow(
        id=f"{at:%j-%H}-{number}", at=microseconds(at) + number, latency_ms=100.0, **fields | more
    )


def test_a_rebuilt_ledger_forgets_nothing_that_can_be_read(url: str, tmp_path: Path) -> None:
    with Ledger(url) as ledger:
        salt = ledger.salt
        ledger.record_feedback("run-1", 0.5, note="well", at=NOON)
        ledger.record_exposure("tone", "ann", "warm", run_id="run-1", at=NOON)
        ledger.record_finding(
            "tone", agent="assistant", model="m", baseline_model="o3", equal=True, samples=60
        )
        ledger.record_shadow("s", 0.9, correct=True)
        ledger.set_note("advice", "{}")
        facts = {"kind": "budget", "severity": "warning", "title": "t", "message": "m", "at": NOON}
        assert ledger.raise_alert("team/80", **facts)
        # Pruned: one day wholly, one in part, as a limit falls into the middle of a day.
        ledger.write([row(n, NOON - timedelta(days=500)) for n in range(20)])
        ledger.write([row(n, NOON - timedelta(days=400, hours=1)) for n in range(7)])
        ledger.write([row(n, NOON - timedelta(days=400, hours=-1)) for n in range(5)])
        assert ledger.prune(keep_days=400, now=NOON) == 27
        ledger.write([row(n, NOON) for n in range(3000)])
        before = ledger_days(ledger)
    damaged(tmp_path / "usage.db")
    ledger = Ledger(url).open()
    with closing(ledger):
        saved = ledger.rebuild()
        assert 1000 < saved < 3005
        after = ledger_days(ledger)
        assert set(after) == set(before)
        *old, today = sorted(after)
        for day in old:  # pruned calls are in no row any more: the roll-ups are all there is
            assert after[day] == before[day]
        assert after[today][0] == saved - 5
        # and the months agree with their days
        assert sum(calls for calls, _ in months(ledger).values()) == 27 + saved
        assert sum(calls for calls, _ in hours(ledger)) == 27 + saved
        assert ledger.salt == salt
        assert queries.feedback_scores(ledger)[0]["score"] == 0.5
        assert queries.exposures(ledger, "tone")[0]["at"] == NOON
        assert ledger.note("advice") == "{}"
        assert not ledger.raise_alert("team/80", **facts)
        with ledger.engine.connect() as connection:
            for table in (schema.findings, schema.shadows):
                assert len(connection.execute(select(table)).all()) == 1
    with Ledger(url) as again:
        assert again.salt == salt


def ledger_days(ledger: Ledger) -> dict[int, tuple[int, Decimal]]:
    table = schema.daily
    with ledger.engine.connect() as connection:
        found = connection.execute(select(table.c.bucket, table.c.calls, table.c.cost))
        return {day: (calls, cost) for day, calls, cost in found}


def months(ledger: Ledger) -> dict[int, tuple[int, Decimal]]:
    table = schema.scopes_monthly
    query = select(table.c.month, table.c.calls, table.c.cost).where(table.c.scope == "all")
    with ledger.engine.connect() as connection:
        return {month: (calls, cost) for month, calls, cost in connection.execute(query)}


def hours(ledger: Ledger) -> list[tuple[int, Decimal]]:
    table = schema.hourly
    with ledger.engine.connect() as connection:
        return [(n, cost) for n, cost in connection.execute(select(table.c.calls, table.c.cost))]


def test_who_has_the_old_file_open_goes_on_in_the_new_one(url: str, tmp_path: Path) -> None:
    with Ledger(url) as other:
        other.write([row(1, NOON)])
        with Ledger(url) as ledger:
            ledger.rebuild()
        other.write([row(2, NOON)])
        other.record_feedback("run-2", 1.0)
    with Ledger(url) as again:
        assert ledger_days(again)[microseconds(NOON) // 86_400_000_000][0] == 2
        assert queries.feedback_scores(again)[0]["run"] == "run-2"


def test_whoever_meets_damage_mends_it_and_fails_once(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Damage inside of the file shows late: in a report, or in a budget that asks what is spent."""
    with Ledger(url) as ledger:
        ledger.write([row(n, NOON) for n in range(3000)])
    damaged(tmp_path / "usage.db")
    query = select(schema.calls.c.id, schema.calls.c.tools_called)
    with Ledger(url) as reader, Ledger(url) as other:  # the head is whole: opening sees nothing
        with reader.engine.connect() as link, pytest.raises(StoreError, match="was damaged"):
            link.execute(query).all()
        for ledger in (reader, other):
            with ledger.engine.connect() as link:
                saved = len(link.execute(query).all())
            assert 1000 < saved < 3000
    assert len(list(tmp_path.glob("usage.db.damaged-*"))) >= 1
    assert caplog.text.count("was damaged") == 1
