"""Every file that the product writes, damaged in three ways: no turn dies, and it is said."""

import contextlib
import logging
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from allotrope import Settings, build_agent
from allotrope.exceptions import InputError
from allotrope.experiments.definition import Experiment
from allotrope.experiments.online.online import open_online
from allotrope.experiments.store import Promotion, open_store
from allotrope.models.profiles.choices import open_choices
from allotrope.usage.assembly import from_settings
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.recorder.recorder import UsageRecorder
from allotrope.usage.reports import reports

TONE = {
    "name": "tone",
    "kind": "online",
    "variants": [
        {"name": "plain", "share": 0.5},
        {"name": "warm", "share": 0.5, "profile": "creative"},
    ],
    "metrics": [{"name": "feedback"}],
}

NO_STORE = {"turns.lock"}
"""Files without content."""

BY_PEOPLE = {"experiment.json"}
"""What a person wrote: said in a line, and left where it is."""

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "random": lambda data: bytes(n * 151 % 251 for n in range(max(len(data), 64))),
    "empty": lambda data: b"",
}


def flushed(settings: Settings) -> None:
    recorder = from_settings(settings)[0]
    assert isinstance(recorder, UsageRecorder)
    assert recorder.close()


def asked(settings: Settings, text: str) -> str:
    with build_agent(settings=settings) as agent:
        answer = agent.ask(text, thread_id="t", context={"user": "ada"}).answer
    flushed(settings)
    return answer


def used(settings: Settings) -> None:
    """A few turns, an experiment in its second round, promotions, a report."""
    store = open_store(settings)
    store.start(Experiment.model_validate(TONE), by="ann")
    store.start(Experiment.model_validate(TONE), by="ann", fresh=True)
    other = TONE | {"name": "other", "agent": "coder"}
    store.start(Experiment.model_validate(other), by="ann")
    for text in ("First.", "Second.", "Third."):
        asked(settings, text)
    store.note_promotion(
        Promotion("other", "warm", "coder", "creative", None, "ann", datetime.now(UTC).isoformat())
    )
    open_choices(settings).choose("coder", "creative", by="ann")
    with open_ledger(settings) as ledger:
        reports.build(ledger, "daily", now=datetime.now(UTC))


def written(folder: Path) -> list[Path]:
    """What lies there that has content of ours."""
    return sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size and path.name not in NO_STORE
    )


@pytest.mark.parametrize("kind", DAMAGES)
def test_no_turn_dies_of_a_damaged_file(
    simulator_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    whole = simulator_settings.model_copy(
        update={
            "data_dir": tmp_path / "whole",
            "memory": simulator_settings.memory.model_copy(update={"facts": True}),
        }
    )
    used(whole)
    files = written(tmp_path / "whole")
    names = {path.name for path in files}
    assert names >= {
        "archive.sqlite", "checkpoints.sqlite", "usage.db",
        "state.json", "promoted.json", "profile-choices.json",
    }  # fmt: skip
    for number, path in enumerate(files):
        folder = tmp_path / f"{kind}-{number}"
        shutil.copytree(tmp_path / "whole", folder)
        victim = folder / path
        victim.write_bytes(DAMAGES[kind](victim.read_bytes()))
        settings = whole.model_copy(update={"data_dir": folder})
        caplog.clear()
        with caplog.at_level(logging.INFO):
            assert asked(settings, "Fourth.") == "Echo: Fourth.", path
            store, choices = open_store(settings), open_choices(settings)
            assert store.promoted().keys() <= {"coder"}
            assert choices.current().keys() <= {"coder"}
            assert choices.roles() == {}
            for name in store.names():
                store.state(name)
                with contextlib.suppress(
                    InputError if path.name in BY_PEOPLE else ZeroDivisionError
                ):
                    store.load(name)
            assert asked(settings, "Fifth.") == "Echo: Fifth.", path
        assert not [record for record in caplog.records if record.exc_info], path
        aside = list(victim.parent.glob(f"{victim.name}.damaged-*Z"))
        told = [record.message for record in caplog.records if "was damaged" in record.message]
        assert len(aside) == len(told) <= 1, (path, told)
        empty_database = kind == "empty" and path.suffix in (
            ".sqlite",
            ".db",
        )  # that is a whole one
        if path.suffix in (".sqlite", ".db", ".json") and path.name not in BY_PEOPLE:
            assert aside or empty_database or path.parent.name == "models", path


@pytest.mark.parametrize("kind", DAMAGES)
def test_an_experiment_whose_state_is_damaged_is_stopped_and_keeps_its_round(
    simulator_settings: Settings, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    store = open_store(simulator_settings)
    experiment = Experiment.model_validate(TONE)
    store.start(experiment, by="ann")
    store.start(experiment, by="ann", fresh=True)
    asked(simulator_settings, "Hello.")
    path = store.folder / "tone" / "state.json"
    path.write_bytes(DAMAGES[kind](path.read_bytes()))
    state = open_store(simulator_settings).state("tone")
    assert (state.status, state.round) == ("stopped", 2)
    [told] = [record.message for record in caplog.records if "was damaged" in record.message]
    assert "is stopped" in told
    online = open_online(simulator_settings)
    for user in "abcdefgh":  # nobody is assigned anew, or at all
        choice = online.choose("assistant", tenant="default", user=user, thread=user)
        assert (choice.experiment, choice.context) == (None, {})
    store.start(experiment, by="ann")  # a person lets it go on, with what was measured
    assert store.state("tone").round == 2
    assert [note["by"] for note in store.state("tone").history] == ["damage", "ann"]
    with open_ledger(simulator_settings) as ledger, ledger.engine.connect() as connection:
        exposed = connection.scalars(select(schema.exposures.c.experiment)).all()
    assert set(exposed) == {"tone#2"}
