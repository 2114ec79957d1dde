"""`allotrope ask`: the answer, the contract of `--json`, bad input, and a killed turn."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.conftest import CANARY

from allotrope.agents import registry
from allotrope.testing import ProviderSimulator, Reply, ToolCall

FIELDS = [
    "answer",
    "agent",
    "thread_id",
    "run_id",
    "provider",
    "model",
    "cached",
    "degraded",
    "succession",
    "repairs",
    "truncated",
    "usage",
    "cost_usd",
    "latency_ms",
    "asks",
    "files",
]
"""The fields of `--json`, in order: stable from the first release on."""


def test_json_has_the_stable_fields(cli, simulator: ProviderSimulator) -> None:
    simulator.script(["Paris."])
    ran = cli("ask", "assistant", "What is the capital of France?", "--json")
    assert ran.code == 0, ran.err
    reply = json.loads(ran.out)
    assert list(reply) == FIELDS
    assert reply["answer"] == "Paris."
    assert (reply["provider"], reply["model"]) == ("openai", "o3-2025-04-16")
    assert (reply["cached"], reply["degraded"]) == (None, None)
    assert set(reply["usage"]) == {
        "input_tokens",
        "output_tokens",
        "cached_input_tokens",
        "reasoning_tokens",
    }
    used = reply["usage"]
    cost = (used["input_tokens"] * 2 + used["output_tokens"] * 8) / 1e6
    assert float(reply["cost_usd"]) == pytest.approx(cost, abs=1e-6)
    assert reply["usage"]["reasoning_tokens"] > 0


@pytest.mark.parametrize("way", ["chat", "responses", "ollama"])
@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_an_answer_that_is_cut_off_says_so(
    cli, simulator: ProviderSimulator, way: str, stream: list[str]
) -> None:
    environ = {
        "chat": {},
        "responses": {"ALLOTROPE_OPENAI__USE_RESPONSES_API": "true"},
        "ollama": {"OPENAI_API_KEY": ""},
    }[way]
    simulator.script([Reply("one two thr", finish_reason="length"), Reply("one two three")])
    ran = cli("ask", "assistant", "Count!", "--json", *stream, **environ)
    reply = json.loads(ran.out.splitlines()[-1])
    assert (reply["answer"], reply["truncated"]) == ("one two thr", True)
    ran = cli("ask", "assistant", "Count all!", "--json", *stream, **environ)
    assert json.loads(ran.out.splitlines()[-1])["truncated"] is False
    assert simulator.chats()[0].path.endswith(
        {"chat": "/chat/completions", "responses": "/responses", "ollama": "/api/chat"}[way]
    )


def test_people_are_told_that_an_answer_is_cut_off(cli, simulator: ProviderSimulator) -> None:
    simulator.script([Reply("one two thr", finish_reason="length")])
    ran = cli("ask", "assistant", "Count!")
    assert "The answer is cut off" in ran.err


def test_no_cache_asks_the_model_again(cli, simulator: ProviderSimulator) -> None:
    simulator.script(["first", "second"])
    for words, text in (([], "first"), ([], "first"), (["--no-cache"], "second")):
        assert cli("ask", "assistant", "What is it?", *words).out.strip() == text
    assert len(simulator.requests) == 2


def test_json_stream_ends_with_the_same_object(cli, simulator: ProviderSimulator) -> None:
    simulator.script(["one two three"])
    ran = cli("ask", "assistant", "count", "--json", "--stream")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert "".join(e["text"] for e in events if e["type"] == "token") == "one two three"
    last = events[-1]
    assert last.pop("type") == "reply"
    assert list(last) == FIELDS
    assert last["answer"] == "one two three"


def test_text_says_where_it_came_from(cli, simulator: ProviderSimulator) -> None:
    simulator.script(["Paris."])
    ran = cli("ask", "assistant", "capital?")
    assert ran.out == "Paris.\n"
    assert "o3-2025-04-16 (openai" in ran.err


def test_a_thread_goes_on(cli, simulator: ProviderSimulator) -> None:
    simulator.script(["Hello Ada.", "You are Ada."])
    cli("ask", "assistant", "I am Ada.", "--thread", "t-1")
    cli("ask", "assistant", "Who am I?", "--thread", "t-1")
    sent = [
        m["content"] for m in simulator.requests[-1].body["messages"] if m["role"] != "developer"
    ]
    assert sent == ["I am Ada.", "Hello Ada.", "Who am I?"]


def test_tools_run(cli, simulator: ProviderSimulator) -> None:
    simulator.script(
        [Reply(tool_calls=(ToolCall("calculate", {"expression": "12.5% of 480"}),)), "60"]
    )
    ran = cli("ask", "assistant", "What is 12.5 % of 480?", "--json")
    assert json.loads(ran.out)["answer"] == "60"
    results = [m for m in simulator.requests[-1].body["messages"] if m["role"] == "tool"]
    assert "60" in results[0]["content"]


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        (("ask", "assistant", ""), b"", "empty"),
        (("ask", "assistant", "  \n "), b"", "empty"),
        (("ask", "assistant", "-"), b"", "empty"),
        (("ask", "assistant", "-"), b"caf\xe9", "isn't valid UTF-8"),
        (("ask", "assistent", "hi"), b"", "Did you mean 'assistant'?"),
        (("ask", "nobody", "hi"), b"", "Known agents: "),
        (("ask", "assistant", "hi", "--thread", "../etc"), b"", "can't be a thread id"),
        (("ask", "assistant", "hi", "--thread", "a b"), b"", "can't be a thread id"),
        (("ask", "assistant", "hi", "--thread", "ü"), b"", "can't be a thread id"),
        (("ask", "assistant", "hi", "--thread", "x" * 200), b"", "can't be a thread id"),
        (("ask", "assistant", "hi", "--profile", "nope"), b"", "nope"),
        (("ask", "assistant", "hello " * 250_000), b"", "tokens"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    cli, simulator: ProviderSimulator, words: tuple[str, ...], stdin: bytes, told: str
) -> None:
    ran = cli(*words, stdin=stdin)
    assert ran.code == 2, ran.err
    assert told in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert ran.out == ""
    assert simulator.requests == []


def test_malformed_settings_name_the_variable(cli) -> None:
    ran = cli("ask", "assistant", "hi", ALLOTROPE_OPENAI__TIMEOUT_S="soon")
    assert (ran.code, len(ran.err.strip().splitlines())) == (2, 1)
    assert "ALLOTROPE_OPENAI__TIMEOUT_S" in ran.err


def test_an_unusable_data_folder_is_said(cli, tmp_path) -> None:
    file = tmp_path / "file"
    file.touch()
    ran = cli("ask", "assistant", "hi", ALLOTROPE_DATA_DIR=str(file / "data"))
    assert ran.code == 2, ran.err
    assert "ALLOTROPE_DATA_DIR" in ran.err


def test_nobody_can_answer_is_exit_3(cli, simulator: ProviderSimulator) -> None:
    simulator.faults.add(401, provider="openai")
    simulator.down("ollama")
    ran = cli("ask", "assistant", "hi")
    assert ran.code == 3, ran.err
    assert "openai" in ran.err
    assert "Ollama" in ran.err
    assert CANARY not in ran.err


@pytest.mark.slow
def test_a_killed_turn_keeps_the_message(
    cli, simulator: ProviderSimulator, simulator_environ: dict[str, str]
) -> None:
    simulator.faults.add("hang", provider="openai", times=1)
    process = subprocess.Popen(
        [sys.executable, "-m", "allotrope.agents.assistant", "Remember 4711.", "--thread", "k"],
        env={**os.environ, **simulator_environ},
    )
    deadline = time.monotonic() + 60
    while not simulator.requests and time.monotonic() < deadline:
        time.sleep(0.05)
    assert simulator.requests, "the process never asked"
    process.send_signal(signal.SIGKILL)
    process.wait()
    simulator.faults.clear()
    simulator.script(["4711"])
    ran = cli("ask", "assistant", "Which number?", "--thread", "k", "--json")
    assert ran.code == 0, ran.err
    sent = [m["content"] for m in simulator.requests[-1].body["messages"] if m["role"] == "user"]
    assert sent == ["Remember 4711.", "Which number?"]


def test_every_agent_has_its_module() -> None:
    for name in registry.names():
        spec = registry.find(name)
        assert spec.name == name
        assert spec.build().name == name
