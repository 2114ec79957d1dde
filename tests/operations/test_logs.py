"""Logs and counters: ids on every line, and neither keys nor content."""

import io
import json
import logging
from typing import Any

import pytest

from allotrope.operations.logs import configure, log_ids
from allotrope.settings.sections import LogSettings
from allotrope.support import counters

log = logging.getLogger("allotrope.test")


@pytest.fixture(autouse=True)
def restored():
    logger = logging.getLogger("allotrope")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def lines(form: str) -> tuple[io.StringIO, LogSettings]:
    stream = io.StringIO()
    settings = LogSettings(level="INFO", format=form)
    configure(settings, stream=stream)
    configure(settings, stream=stream)  # twice is once
    return stream, settings


def test_json_lines_carry_ids_and_facts_only() -> None:
    stream, _ = lines("json")
    with log_ids(run_id="r1", thread_id="t1"):
        try:
            raise ValueError("the user's secret text")
        except ValueError:
            log.exception(
                "failed with key sk-proj-abcdefgh", extra={"provider": "openai", "prompt": "secret"}
            )
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["run_id"], told["thread_id"], told["provider"]) == ("r1", "t1", "openai")
    assert told["exception"] == "ValueError"
    assert "secret" not in line
    assert "abcdefgh" not in line


def test_text_lines_for_people() -> None:
    stream, _ = lines("text")
    with log_ids(run_id="r1"):
        log.warning("hello", extra={"model": "o3"})
    log.debug("too much")
    assert stream.getvalue().endswith("warning allotrope.test: hello run_id=r1 model=o3\n")
    assert stream.getvalue().count("\n") == 1


def test_ids_of_the_run_come_by_themselves() -> None:
    from langchain_core.runnables import RunnableLambda

    stream, _ = lines("json")
    config = {"configurable": {"thread_id": "t9"}, "metadata": {"allotrope_run_id": "r9"}}
    RunnableLambda(lambda x: log.warning("inside")).invoke(1, config)
    told = json.loads(stream.getvalue())
    assert (told["run_id"], told["thread_id"]) == ("r9", "t9")


def test_counters_for_prometheus() -> None:
    counters.clear()
    counters.count("allotrope_retries_total", provider="openai", error='odd "name"')
    counters.count("allotrope_retries_total", provider="openai", error='odd "name"')
    text = counters.prometheus_text()
    assert 'allotrope_retries_total{error="odd \\"name\\"",provider="openai"} 2' in text
    assert "# TYPE allotrope_retries_total counter" in text
    with pytest.raises(KeyError):
        counters.count("no_such_counter")
    counters.clear()
    assert counters.prometheus_text() == ""


@pytest.mark.parametrize(
    ("level", "form", "terminal", "shown"),
    [
        ("WARNING", "text", True, False),
        ("WARNING", "text", False, True),
        ("WARNING", "json", True, True),
        ("INFO", "text", True, True),
    ],
)
def test_a_terminal_shows_no_circuit_changes_unless_asked(
    monkeypatch: pytest.MonkeyPatch, level: Any, form: Any, terminal: bool, shown: bool
) -> None:
    err = io.StringIO()
    monkeypatch.setattr(err, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", err)
    configure(LogSettings(level=level, format=form))
    logging.getLogger("allotrope.breaker").warning("circuit openai/o3: closed -> open")
    assert ("closed -> open" in err.getvalue()) == shown
    log.warning("something else")
    assert "something else" in err.getvalue()
