"""The signs of an outage: restarts in every stream mode and in the CLI, counters, log lines."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from allotrope.agents.agent import Agent, build_agent
from allotrope.operations.logs import configure
from allotrope.settings import load_settings
from allotrope.settings.sections import LogSettings
from allotrope.support import counters
from allotrope.testing import ProviderSimulator, Reply


@pytest.fixture
def agent(simulator_environ: dict[str, str]) -> Iterator[Agent]:
    settings = load_settings(environ=simulator_environ, env_file=None)
    with build_agent("assistant", settings=settings) as made:
        yield made


@pytest.fixture
def broken(simulator: ProviderSimulator) -> ProviderSimulator:
    """OpenAI's stream breaks after three tokens; Ollama answers."""
    simulator.script([Reply("One two three four five six.")], provider="openai")
    simulator.script([Reply("Seven eight.")], provider="ollama")
    simulator.faults.add("cut", provider="openai", after_tokens=3)
    return simulator


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_restart_is_seen_in_every_stream_mode(
    broken: ProviderSimulator, agent: Agent, way: str
) -> None:
    given = {"messages": [{"role": "user", "content": "count"}]}
    config: Any = agent.thread_config("t")
    modes: Any = ["messages", "updates", "custom"]
    parts: list[Any]
    if way == "stream":
        parts = list(agent.graph.stream(given, config, stream_mode=modes))
        state = agent.graph.get_state(config)
    else:
        graph = await agent.agraph()
        parts = [part async for part in graph.astream(given, config, stream_mode=modes)]
        state = await graph.aget_state(config)
        await agent.aclose()

    told = [part["type"] for mode, part in parts if mode == "custom"]
    assert [kind for kind in told if kind in ("restart", "degraded")] == ["restart", "degraded"], (
        told
    )
    at = next(
        n for n, (mode, part) in enumerate(parts) if mode == "custom" and part["type"] == "restart"
    )
    assert parts[at][1] == {
        "type": "restart",
        "provider": "openai",
        "model": "o3",
        "reason": "ProviderUnreachableError",
    }
    assert said(parts[:at]).startswith("One")
    assert said(parts[at:]) == "Seven eight."
    updates = [u for mode, part in parts if mode == "updates" for u in part.values() if u]
    answers = [m for u in updates for m in u.get("messages", []) if isinstance(m, AIMessage)]
    assert [answer.text for answer in answers] == ["Seven eight."]
    degraded = next(u["degraded"] for u in updates if u.get("degraded"))
    assert degraded["message"].endswith("answered by llama3.1 on Ollama.")
    assert [m.text for m in state.values["messages"]] == ["count", "Seven eight."]


def said(parts: list[Any]) -> str:
    return "".join(part[0].text for mode, part in parts if mode == "messages")


@pytest.mark.parametrize(
    "words", [("ask", "assistant", "count", "--stream"), ("chat", "assistant")]
)
def test_a_terminal_shows_where_the_answer_begins_anew(
    cli: Any, broken: ProviderSimulator, words: tuple[str, ...]
) -> None:
    ran = cli(*words, stdin=b"count\n" if words[0] == "chat" else b"")
    assert ran.code == 0, ran.err
    before, sign, after = (ran.out + ran.err).partition("starting again")
    assert sign
    assert "One" in before
    assert "Seven eight." in after
    assert "answered by llama3.1 on Ollama." in after


def test_an_outage_is_counted_for_prometheus_and_opentelemetry(
    simulator: ProviderSimulator, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    monkeypatch.setattr("opentelemetry.metrics.get_meter", provider.get_meter)
    monkeypatch.setattr(counters, "_meters", {})
    counters.clear()
    simulator.faults.add("503", provider="openai")
    agent.ask("hi")

    lines = counters.prometheus_text().splitlines()
    assert 'allotrope_circuit_changes_total{circuit="openai/o3",state="open"} 1.0' in lines
    assert 'allotrope_failovers_total{model="llama3.1",provider="ollama"} 1.0' in lines
    retries = '{error="ProviderUnavailableError",provider="openai"} 2.0'
    assert f"allotrope_retries_total{retries}" in lines

    data = json.loads(reader.get_metrics_data().to_json())  # type: ignore[union-attr]  # it has read
    found = {
        metric["name"]: metric["data"]["data_points"][0]
        for scope in data["resource_metrics"][0]["scope_metrics"]
        for metric in scope["metrics"]
    }
    assert found["allotrope.circuit_changes"]["attributes"]["state"] == "open"
    assert found["allotrope.failovers"]["value"] == 1
    assert found["allotrope.retries"]["value"] == 2
    provider.shutdown()


def test_log_lines_of_an_outage_have_ids_and_no_content(
    simulator: ProviderSimulator, agent: Agent
) -> None:
    logger = logging.getLogger("allotrope")
    handlers, level = list(logger.handlers), logger.level
    stream = io.StringIO()
    configure(LogSettings(level="DEBUG", format="json"), stream=stream)
    try:
        simulator.script([Reply("the secret answer")], provider="ollama")
        simulator.faults.add("503", provider="openai")
        reply = agent.ask("the secret question", thread_id="t7")
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    failed = [line for line in lines if line.get("error") == "ProviderUnavailableError"]
    assert len(failed) == 3
    opened = [line for line in lines if "closed -> open" in line["message"]]
    for line in failed + opened[:1]:
        assert (line["run_id"], line["thread_id"]) == (reply.run_id, "t7")
    assert "secret" not in stream.getvalue()
    assert "sk-" not in stream.getvalue()
