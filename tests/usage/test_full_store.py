"""A disk that is full, for real: SQLite's own limit on pages. Nothing is lost, nothing breaks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel
from sqlalchemy import event
from sqlalchemy.pool import Pool

from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.recorder import writer as writer_module
from allotrope.usage.recorder.recorder import UsageRecorder


def test_calls_of_a_full_ledger_are_spilled_and_picked_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_PAUSES_S", (0.01,))
    monkeypatch.setattr(writer_module, "SPILL_RETRY_S", 0.1)
    url = f"sqlite:///{tmp_path}/usage.db"
    with Ledger(url) as ledger, ledger.engine.connect() as link:
        limit = [int(link.exec_driver_sql("PRAGMA page_count").scalar_one()) + 1]

    def restrict(connection: object, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit[0]}")  # type: ignore[attr-defined]  # sqlite3

    event.listen(Pool, "checkout", restrict)
    request.addfinalizer(lambda: event.remove(Pool, "checkout", restrict))
    recorder = UsageRecorder(url)
    model = FakeListChatModel(responses=["Hello"])
    for number in range(60):
        metadata = {"thread_id": f"{number}-" + "long" * 40, "allotrope_user": f"user {number}"}
        assert model.invoke("Hi", {"callbacks": [recorder], "metadata": metadata}).content
    assert recorder.flush()
    assert recorder.stats.problem == "OperationalError"
    assert recorder.stats.spilled == 60
    assert "can't be written" in caplog.text

    limit[0] = 1_000_000  # somebody made room
    for _ in range(40):
        model.invoke("Hi", {"callbacks": [recorder]})
        assert recorder.flush()
        if recorder.stats.picked_up:
            break
    recorder.close()
    with Ledger(url) as again:
        totals = queries.totals(again, queries.last_days(2))
    assert totals.calls == recorder.stats.recorded
    assert not (tmp_path / "usage-spill.jsonl").exists()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[list[int]]:
    """Pages that a ledger in `tmp_path` may have: one more than it has."""
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger, ledger.engine.connect() as link:
        pages = [int(link.exec_driver_sql("PRAGMA page_count").scalar_one()) + 1]

    def restrict(connection: object, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")  # type: ignore[attr-defined]  # sqlite3

    event.listen(Pool, "checkout", restrict)
    yield pages
    event.remove(Pool, "checkout", restrict)


def test_calls_wait_in_memory_where_the_spill_is_full_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: list[int]
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_PAUSES_S", (0.01,))
    nowhere = tmp_path / "spill"
    nowhere.mkdir()  # what can't be opened for writing
    recorder = UsageRecorder(f"sqlite:///{tmp_path}/usage.db", spill_path=nowhere, queue_size=50)
    model = FakeListChatModel(responses=["Hello"])
    for number in range(60):
        metadata = {"thread_id": f"{number}-" + "long" * 40, "allotrope_user": f"user {number}"}
        model.invoke("Hi", {"callbacks": [recorder], "metadata": metadata})
        if number % 20 == 0:
            assert recorder.flush()
    assert recorder.flush()
    lost = recorder.stats.lost
    assert 0 < lost <= 10, "no more wait than the queue may hold"
    room[0] = 1_000_000
    recorder.close()
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as again:
        assert queries.totals(again, queries.last_days(2)).calls == 60 - lost
