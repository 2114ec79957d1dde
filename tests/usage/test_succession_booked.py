"""What a successor's calls look like in the ledger, and what writing to a prompt cache costs."""

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from sqlalchemy import inspect
from typer.testing import CliRunner

from allotrope.agents.reply import TurnMeter
from allotrope.cli.usage.app import app as usage_app
from allotrope.models.call.prompt_caching import stable_marked
from allotrope.models.chain import build_chain
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.queries import sums as queries
from allotrope.usage.queries.browse import Pick, page
from allotrope.usage.queries.export import export
from allotrope.usage.recorder.recorder import UsageRecorder
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.recorder.salvage import take_over
from allotrope.usage.reports import render, reports

NOON = datetime(2026, 12, 14, 12, tzinfo=UTC)


def row(number: int, **values: Any) -> CallRow:
    fields = {"provider": "openai", "model": "gpt-6.1-sol", "cost": Decimal("0.01")} | values
    return CallRow(id=f"call-{number}", at=microseconds(NOON) + number, **fields)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        ledger.write([row(1, stands_for="o3"), row(2, stands_for="o3"), row(3)])
        yield ledger


def settings_for(sim: ProviderSimulator, tmp_path: Path, **openai: Any) -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path,
        redis={"embedded": False},
        openai={"api_key": "sk-test", "base_url": sim.openai_url, **openai},
        ollama={"enabled": False},
        embedded={"enabled": False},
    )


def test_a_successors_call_says_whom_it_stands_for(
    simulator: ProviderSimulator, tmp_path: Path
) -> None:
    settings = settings_for(simulator, tmp_path, today=date(2026, 12, 11))
    recorder = UsageRecorder(f"sqlite:///{tmp_path}/usage.db")
    build_chain(settings, callbacks=[recorder]).invoke("Hello")
    assert recorder.close()
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        [found] = queries.rows(ledger, queries.last_days(2))
    assert (found["model"], found["stands_for"]) == ("gpt-6.1-sol", "o3")
    assert (found["degraded"], found["failovers"]) == ("", 0)


def test_lists_exports_and_reports_show_it(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = queries.Window(NOON.replace(hour=0), NOON.replace(hour=23))
    found = page(ledger, Pick(window, {}, only="successors"))
    assert [one["id"] for one in found.rows] == ["call-2", "call-1"]
    text = io.StringIO()
    export(ledger, text, form="csv")
    assert [one["stands_for"] for one in csv.DictReader(io.StringIO(text.getvalue()))] == [
        "o3",
        "o3",
        "",
    ]
    report = reports.build(ledger, "daily", on=NOON, now=NOON, notices=["gpt-5.1 ends soon."])
    shown = render.markdown(report)
    assert "- o3 has ended: gpt-6.1-sol answered 2 calls in its place" in shown
    assert "- gpt-5.1 ends soon." in shown
    assert "<li>gpt-5.1 ends soon.</li>" in render.html(report)
    told = json.loads(json.dumps(report.to_json()))
    assert told["successions"] == [{"from": "o3", "to": "gpt-6.1-sol", "calls": 2}]
    assert told["notices"] == ["gpt-5.1 ends soon."]
    monkeypatch.setenv("ALLOTROPE_USAGE__LEDGER_URL", ledger.url)
    at = microseconds(datetime.now(UTC))
    ledger.write([CallRow(id="now", at=at, model="gpt-6.1-sol", stands_for="o3")])
    listed = CliRunner().invoke(usage_app, ["calls"])
    assert "gpt-6.1-sol for o3" in listed.output


def test_a_ledger_of_before_gets_the_column_and_keeps_its_rows(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    _make_old(tmp_path / "usage.db")
    with Ledger(url) as ledger:
        assert "stands_for" in {c["name"] for c in inspect(ledger.engine).get_columns("calls")}
        ledger.write([row(2, stands_for="o3")])
        found = queries.rows(ledger, queries.Window(NOON.replace(hour=0), NOON.replace(hour=23)))
    assert [(one["id"], one["stands_for"]) for one in found] == [("call-2", "o3"), ("call-1", "")]


def test_a_damaged_ledger_of_before_loses_no_row_to_the_new_column(tmp_path: Path) -> None:
    aside = tmp_path / "usage.db.damaged"
    _make_old(aside)
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        assert take_over(ledger, aside) == 1


def _make_old(path: Path) -> None:
    """A ledger as it was before there was the column, with one call."""
    old = row(1).values()
    del old["stands_for"]
    old["cost"] = 10**10
    with closing(sqlite3.connect(path)) as link:
        for statement in schema.MIGRATIONS[0]:
            link.execute(statement.replace("{clustered}", " WITHOUT ROWID"))
        link.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
        link.execute("INSERT INTO schema_version VALUES (1)")
        link.execute("INSERT INTO meta VALUES ('salt', '00ff')")
        marks = ", ".join("?" * len(old))
        link.execute(f"INSERT INTO calls ({', '.join(old)}) VALUES ({marks})", list(old.values()))
        link.commit()


@pytest.mark.parametrize("responses", [True, False])
def test_written_tokens_cost_what_writing_costs(tmp_path: Path, responses: bool) -> None:
    """The second call reads what the first one wrote; both are billed to the token."""
    url = f"sqlite:///{tmp_path}/usage.db"
    with ProviderSimulator(prompt_caching=True) as sim:
        settings = settings_for(sim, tmp_path, model="gpt-6.1-sol", use_responses_api=responses)
        recorder = UsageRecorder(url)
        meter = TurnMeter(PriceBook())
        chain = build_chain(settings, callbacks=[recorder, meter])
        prompt = SystemMessage("A stable sentence about nothing. " * 400)
        for question in ("One?", "Two?"):
            chain.invoke(stable_marked([prompt, HumanMessage(question)]))
        assert recorder.close()
    with Ledger(url) as ledger:
        second, first = queries.rows(ledger, queries.last_days(2))
    assert first["cache_write_tokens"] > 1024
    assert first["cached_tokens"] == 0
    assert second["cached_tokens"] > 1024
    for call in (first, second):
        plain = call["input_tokens"] - call["cached_tokens"] - call["cache_write_tokens"]
        bill = (
            plain * Decimal(2)
            + call["cached_tokens"] * Decimal("0.10")
            + call["cache_write_tokens"] * Decimal("2.50")
            + call["output_tokens"] * Decimal(10)
        )
        assert call["cost"] == bill / 1_000_000
    assert meter.cost_usd == first["cost"] + second["cost"]
