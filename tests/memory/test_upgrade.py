"""A thread that an earlier version wrote goes on: sync, async, and through the commands.

`old_thread.sql` was dumped from the checkpoints of two turns of the assistant as of commit 3684484,
before there was an archive, a calibration, or a schema version.
"""

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from allotrope import build_agent
from allotrope.cli.app import app
from allotrope.memory.checkpoints.opening import SCHEMA_VERSION
from allotrope.operations.deletion import delete_thread
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator

DUMP = Path(__file__).parent / "old_thread.sql"


@pytest.fixture
def old(simulator_settings: Settings) -> Settings:
    assert simulator_settings.data_dir is not None
    simulator_settings.data_dir.mkdir(parents=True)
    connection = sqlite3.connect(simulator_settings.data_dir / "checkpoints.sqlite")
    connection.executescript(DUMP.read_text("utf-8"))
    connection.close()
    return simulator_settings


def said(simulator: ProviderSimulator) -> str:
    return json.dumps([request.body for request in simulator.requests])


def test_an_old_thread_goes_on_and_its_turns_are_archived(
    old: Settings, simulator: ProviderSimulator
) -> None:
    with build_agent(settings=old) as agent:
        assert len(agent.history("old")) == 4
        agent.ask("What is my boat called?", thread_id="old")
        assert "Petronella" in said(simulator)
        assert len(agent.history("old")) == 6
    assert old.data_dir is not None
    connection = sqlite3.connect(old.data_dir / "checkpoints.sqlite")
    [(version,)] = connection.execute("SELECT max(version) FROM allotrope_schema").fetchall()
    connection.close()
    assert version == SCHEMA_VERSION
    assert delete_thread(old, "old", tenant="default").messages == 6


async def test_the_same_async(old: Settings, simulator: ProviderSimulator) -> None:
    async with build_agent(settings=old) as agent:
        await agent.aask("How long is it?", thread_id="old")
    assert "9 metres" in said(simulator)


def test_the_meter_shows_it(
    old: Settings,
    simulator_environ: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in simulator_environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for words in (["--json"], ["--explain"]):
        shown = CliRunner().invoke(app, ["context", "old", *words])
        assert shown.exit_code == 0, shown.output
    assert "0 messages" in shown.output
