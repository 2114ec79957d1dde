"""A disk that is full, for real: SQLite's own limit on pages. Nothing is lost, nothing breaks."""

from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel
from sqlalchemy import event
from sqlalchemy.pool import Pool

from allotrope.usage import queries
from allotrope.usage import writer as writer_module
from allotrope.usage.ledger import Ledger
from allotrope.usage.recorder import UsageRecorder


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
