"""Ctrl-C: the turn ends although the provider would go on for hours, and what was said is kept."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from allotrope import Settings, build_agent
from allotrope.testing import ProviderSimulator, Reply
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import open_ledger

LONG = Reply("one two three four " * 100, token_delay_s=1.0)
SILENT = Reply("never", delay_s=3600)


@pytest.fixture
def start(simulator_environ: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """Starts `allotrope …` as a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*words: str, first: str = "") -> "subprocess.Popen[bytes]":
        code = f"{first}\nfrom allotrope.cli.app import main; main()"
        command = [sys.executable, "-c", code, *words]
        started.append(
            subprocess.Popen(
                command, env={**os.environ, **simulator_environ}, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def until(process: "subprocess.Popen[bytes]", word: str) -> str:
    """What a process writes up to a word."""
    assert process.stdout is not None
    seen = b""
    while word.encode() not in seen:
        part = os.read(process.stdout.fileno(), 1000)
        assert part, f"it ended before {word!r}: {seen!r}"
        seen += part
    return seen.decode()


def asked(simulator: ProviderSimulator, process: "subprocess.Popen[bytes]") -> None:
    """Waits until the question is at the provider."""
    while not any(request.path.endswith("/completions") for request in simulator.requests):
        assert process.poll() is None
        time.sleep(0.02)


def calls(settings: Settings) -> list[dict[str, Any]]:
    """What the ledger knows, to whoever looks into it next."""
    with open_ledger(settings) as ledger, ledger.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(schema.calls)).mappings()]


def history(settings: Settings, thread: str) -> list[str]:
    with build_agent(settings=settings) as agent:
        return [message.text for message in agent.history(thread)]


def test_a_stream_ends_and_what_was_said_is_kept(
    start: Callable[..., Any], simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    simulator.script([LONG])
    process = start("ask", "assistant", "Count!", "--stream", "--thread", "t")
    until(process, "one two")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "What was said is kept" in err.decode()
    question, said = history(simulator_settings, "t")
    assert question == "Count!"
    assert said.startswith("one two")
    with build_agent(settings=simulator_settings) as agent:
        assert agent.ask("Go on!", thread_id="t").answer == "Echo: Go on!"
    assert history(simulator_settings, "t")[1:] == [said, "Go on!", "Echo: Go on!"]


@pytest.mark.parametrize("words", [[], ["--stream"]])
def test_before_the_first_word_the_question_is_kept(
    start: Callable[..., Any],
    simulator: ProviderSimulator,
    simulator_settings: Settings,
    words: list[str],
) -> None:
    simulator.script([SILENT])
    process = start("ask", "assistant", "Count!", "--thread", "t", *words)
    asked(simulator, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err.decode()
    assert history(simulator_settings, "t") == ["Count!"]
    simulator.script(["One."])
    with build_agent(settings=simulator_settings) as agent:
        assert agent.ask("Count!", thread_id="t").answer == "One."
    assert history(simulator_settings, "t") == ["Count!", "One."]


NOTHING_ENDS = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
import allotrope.graphs.parts, allotrope.usage.recorder.estimate, allotrope.usage.recorder.writer

def never(*_, **__):
    threading.Event().wait()

ThreadPoolExecutor().submit(never)  # Python waits for such a thread before it ends
allotrope.usage.recorder.estimate.ExactCounter._load = never
allotrope.usage.recorder.writer.Writer._open = never
allotrope.graphs.parts.Parts.close = never
"""
"""Everything that an ordinary end would wait for takes for ever."""


@pytest.mark.parametrize("stream", [True, False])
def test_who_stops_an_answer_waits_for_nothing(
    start: Callable[..., Any],
    simulator: ProviderSimulator,
    simulator_settings: Settings,
    stream: bool,
) -> None:
    simulator.script([LONG if stream else SILENT])
    words = ["ask", "assistant", "Count!", "--thread", "t"]
    process = start(*words, *(["--stream"] if stream else []), first=NOTHING_ENDS)
    if stream:
        until(process, "one two")
    else:
        asked(simulator, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert [text[:7] for text in history(simulator_settings, "t")] == (
        ["Count!", "one two"] if stream else ["Count!"]
    )
    [call] = calls(simulator_settings)
    assert call["status"] == "aborted"
    assert call["estimated"]
    assert call["input_tokens"] > 100
    assert call["cost"] > 0


def test_who_leaves_a_chat_waits_for_nothing(
    start: Callable[..., Any], simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    simulator.script([LONG])
    process = start("chat", "assistant", "--thread", "t", first=NOTHING_ENDS)
    process.stdin.write(b"Count!\n")
    process.stdin.flush()
    until(process, "one two")
    process.send_signal(signal.SIGINT)
    until(process, "What was said is kept.")
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"allotrope chat assistant --thread t" in rest
    assert [call["status"] for call in calls(simulator_settings)] == ["aborted"]


def test_a_chat_goes_on_after_an_answer_that_was_stopped(
    start: Callable[..., Any], simulator: ProviderSimulator
) -> None:
    simulator.script([LONG, "Fine."])
    process = start("chat", "assistant")
    process.stdin.write(b"Count!\n")
    process.stdin.flush()
    until(process, "one two")
    process.send_signal(signal.SIGINT)
    until(process, "What was said is kept.")
    process.stdin.write(b"Thanks\n")
    process.stdin.flush()
    until(process, "Fine.")
    process.stdin.write(b"/history\n/quit\n")
    process.stdin.flush()
    rest, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = [line.split(": ", 1) for line in rest.decode().splitlines() if ": " in line]
    assert next(line for line in lines if line[0] in ("human", "ai")) == ["human", "Count!"]
    assert ["human", "Thanks"] in lines
