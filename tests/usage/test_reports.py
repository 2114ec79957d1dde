"""Reports, exports and the commands, on a ledger with known sums."""

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from typer.testing import CliRunner

from allotrope.cli.usage.app import app as usage_app
from allotrope.cli.usage.feedback import app as feedback_app
from allotrope.cli.usage.report import app as report_app
from allotrope.exceptions import InputError, StoreError
from allotrope.settings import load_settings
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.queries.export import export
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.reports import render, reports, schedule

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday


def rows() -> list[CallRow]:
    """Each day from 9 to 18 November one paid call, one exact and one semantic hit at 08:00."""
    found = []
    for day in range(9, 19):
        at = microseconds(datetime(2026, 11, day, 8, tzinfo=UTC))
        common: dict[str, Any] = {"provider": "openai", "model": "o3", "tenant": "acme"}
        found += [
            CallRow(
                id=f"paid-{day}", at=at, agent="assistant", thread="<b>t</b>", input_tokens=1000,
                cached_tokens=200, output_tokens=100, reasoning_tokens=60, cost=Decimal("0.50"),
                prompt_cache_saving=Decimal("0.05"), context_saving=Decimal("0.10"),
                context_full_tokens=9000, context_tokens=1000, latency_ms=900,
                failovers=1, **common,
            ),
            CallRow(
                id=f"exact-{day}", at=at, agent="=cmd|' /C calc'!A0", cached="exact",
                cost=Decimal(0), saved_cost=Decimal("0.20"), saved_input_tokens=900, **common,
            ),
            CallRow(
                id=f"semantic-{day}", at=at, agent="assistant", cached="semantic",
                cost=Decimal(0), saved_cost=Decimal("0.30"), **common,
            ),
        ]  # fmt: skip
    return found


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        ledger.write(rows())
        yield ledger


def test_a_running_week_is_compared_with_the_same_stretch_before(ledger: Ledger) -> None:
    report = reports.build(ledger, "weekly", now=NOW)
    assert report.period.key == "2026-W47"
    assert report.running
    assert (report.now.calls, report.now.cost) == (9, Decimal("1.50"))
    assert report.before.cost == Decimal("1.50")  # Monday to Wednesday noon of the week before
    assert report.change() == 0
    whole = reports.build(ledger, "weekly", on=NOW - timedelta(days=7), now=NOW)
    assert not whole.running
    assert whole.now.cost == Decimal("3.50")
    assert whole.change() is None


def test_a_report_says_what_each_thing_saved(ledger: Ledger) -> None:
    report = reports.build(ledger, "monthly", now=NOW)
    document = json.loads(json.dumps(report.to_json()))
    assert {k: Decimal(v) for k, v in document["totals"]["saved_usd"].items()} == {
        "exact_cache": Decimal(2),
        "semantic_cache": Decimal(3),
        "provider_prompt_cache": Decimal("0.5"),
        "memory": Decimal(1),
        "all": Decimal("6.5"),
    }
    assert document["totals"]["tokens"]["left_out_by_memory"] == 80_000
    assert document["totals"]["failovers"] == 10
    assert document["top_threads"][0]["thread"] == "<b>t</b>"
    assert document["latency_ms"]["p50"] == pytest.approx(900, rel=0.05)
    assert len(document["days"]) == 10


def test_the_daily_report_goes_by_the_hour(ledger: Ledger) -> None:
    report = reports.build(ledger, "daily", now=NOW)
    assert [part.name for part in report.days] == ["08:00"]
    assert report.before.cost == Decimal("0.50")


def test_html_escapes_names_and_needs_nothing_else(ledger: Ledger) -> None:
    page = render.html(reports.build(ledger, "monthly", now=NOW))
    assert "&lt;b&gt;t&lt;/b&gt;" in page
    assert "<b>t</b>" not in page
    assert "<script" not in page
    assert "http" not in page
    assert "$5.00" in page


def test_markdown_has_whole_tables(ledger: Ledger) -> None:
    text = render.markdown(reports.build(ledger, "monthly", now=NOW))
    assert "- Saved: $6.50" in text
    for line in text.splitlines():
        if line.startswith("| ="):
            assert "=cmd\\|" in line
    assert "| Semantic cache | $3.00 | 10 hits |" in text


def test_a_report_nobody_knows_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="no report"):
        reports.build(ledger, "yearly")
    with pytest.raises(InputError, match="no report"):
        schedule.finished("yearly", NOW)


def test_csv_is_complete_and_no_formula(ledger: Ledger) -> None:
    out = io.StringIO()
    assert export(ledger, out, form="csv") == 30
    found = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert sum(Decimal(row["cost"]) for row in found) == Decimal(5)
    assert {row["agent"] for row in found} == {"assistant", "'=cmd|' /C calc'!A0"}
    assert found[0]["at"] == "2026-11-09T08:00:00+00:00"


def test_json_lines_and_windows(ledger: Ledger) -> None:
    out = io.StringIO()
    window = queries.Window(NOW - timedelta(days=1), NOW)
    assert export(ledger, out, form="json", window=window, where={"cached": "exact"}) == 1
    (row,) = map(json.loads, out.getvalue().splitlines())
    assert (row["id"], row["saved_cost"]) == ("exact-18", "0.200000000000")


def test_parquet_keeps_money_exact(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "calls.parquet"
    assert export(ledger, path, form="parquet") == 30
    table = pq.read_table(path)
    assert sum(v.as_py() for v in table["cost"]) == Decimal(5)
    assert str(table.schema.field("at").type) == "timestamp[us, tz=UTC]"


def test_what_cannot_be_exported_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no format"):
        export(ledger, io.StringIO(), form="xlsx")
    with pytest.raises(InputError, match="needs a file"):
        export(ledger, io.StringIO(), form="parquet")
    with pytest.raises(StoreError, match="can't be written"):
        export(ledger, tmp_path / "no" / "such" / "folder.csv", form="csv")


@pytest.fixture
def run(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    monkeypatch.setenv("ALLOTROPE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ALLOTROPE_REDIS__EMBEDDED", "false")
    monkeypatch.chdir(tmp_path)
    today = microseconds(datetime.now(UTC))
    now = CallRow(
        id="now", at=today, agent="assistant", model="o3", thread="[b]t", cost=Decimal(3)
    )  # fmt: skip
    ledger.write([now])

    def running(app: Any, *words: str) -> Any:
        done = CliRunner().invoke(app, [*words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.output) if "--json" in words else done.output

    return running


def test_commands_print_for_people_and_machines(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Decimal(run(usage_app, "show", "--days", "1", "--json")["totals"]["cost_usd"]) == 3
    assert "assistant" in run(usage_app, "show", "--by", "agent")
    (thread,) = run(usage_app, "show", "--by", "thread", "--days", "1", "--json")["by"]["parts"]
    assert (thread["name"], thread["calls"], Decimal(thread["cost_usd"])) == ("[b]t", 1, 3)
    assert "[b]t" in run(usage_app, "show", "--by", "thread", "--days", "1")
    assert run(usage_app, "calls", "--json")["calls"][0]["id"] == "now"
    assert "o3" in run(usage_app, "calls")
    assert "now" in run(usage_app, "export", "--format", "csv")
    assert "31 calls" in run(usage_app, "export", "--format", "json", "--out", "x.json")
    assert "No budgets" in run(usage_app, "budgets")
    budget = [{"name": "team", "usd": 4, "period": "day"}]
    monkeypatch.setenv("ALLOTROPE_USAGE__BUDGETS", json.dumps(budget))
    (state,) = run(usage_app, "budgets", "--json")["budgets"]
    assert (state["used"], state["limit"], state["share"]) == ("$3.00", "$4.00", 0.75)
    assert "team" in run(usage_app, "budgets")
    assert run(usage_app, "recommend", "--json") == {"recommendations": []}
    assert "Nothing to recommend" in run(usage_app, "recommend")
    assert run(usage_app, "alerts", "--json") == {"alerts": []}
    assert run(usage_app, "prune", "--keep-days", "1", "--yes", "--json")["deleted"] >= 0
    found = run(report_app, "weekly", "--on", "2026-11-11", "--json")
    assert Decimal(found["totals"]["cost_usd"]) == Decimal("3.50")
    assert "# Usage of the week 2026-W46" in run(report_app, "weekly", "--on", "2026-11-11")
    assert "<!doctype html>" in run(report_app, "monthly", "--html")
    assert run(feedback_app, "run-1", "0.5", "--json")["score"] == 0.5
    assert "7 * * 1" in run(report_app, "schedule", "weekly")
    assert "OnCalendar=" in run(report_app, "schedule", "daily", "--systemd")


def test_bad_words_end_in_one_sentence(run: Callable[..., Any]) -> None:
    for words in (
        ("daily", "--on", "yesterday"),
        ("daily", "--md", "--json"),
        ("schedule", "yearly"),
    ):
        with pytest.raises(InputError):
            run(report_app, *words)
    with pytest.raises(InputError):
        run(usage_app, "show", "--by", "nonsense")
    with pytest.raises(InputError):
        run(usage_app, "show", "--days", "0")


def test_the_last_finished_report_is_sent(tmp_path: Path, ledger: Ledger) -> None:
    out = tmp_path / "sent.json"
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path,
        usage={"notifiers": [{"kind": "command", "command": ["tee", str(out)]}]},
    )
    assert schedule.send_report(settings, "weekly", now=NOW) == []
    sent = json.loads(out.read_text())
    assert sent["title"] == "Usage of the week 2026-W46"
    assert Decimal(sent["data"]["report"]["totals"]["cost_usd"]) == Decimal("3.50")


def test_of_all_servers_one_sends_the_report(tmp_path: Path) -> None:
    out = tmp_path / "sent"
    script = f"cat >> {out}; echo >> {out}; test ! -e {tmp_path}/broken"
    settings = load_settings(
        environ={}, env_file=None, data_dir=tmp_path,
        usage={"notifiers": [{"kind": "command", "command": ["sh", "-c", script]}]},
    )  # fmt: skip
    (tmp_path / "broken").touch()
    assert schedule.send_report(settings, "daily", now=NOW)  # reached nobody, so it wasn't sent
    (tmp_path / "broken").unlink()
    barrier = threading.Barrier(4)

    def server() -> None:
        barrier.wait()
        assert schedule.send_report(settings, "daily", now=NOW) == []

    threads = [threading.Thread(target=server) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    keys = [json.loads(line)["key"] for line in out.read_text().splitlines()]
    assert keys == ["report/daily/2026-11-17"] * 2
    assert schedule.send_report(settings, "daily", now=NOW, again=True) == []
    assert schedule.send_report(settings, "weekly", now=NOW) == []
    assert len(out.read_text().splitlines()) == 4


def test_jobs_for_the_server() -> None:
    scheduler = BackgroundScheduler(timezone="UTC")
    schedule.add_jobs(scheduler, load_settings(environ={}, env_file=None))
    assert {job.id for job in scheduler.get_jobs()} == {
        f"allotrope-report-{kind}" for kind in ("daily", "weekly", "monthly")
    }
