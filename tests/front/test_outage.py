"""An outage as users and operators see it: kept questions, status, breaker, restarts, events."""

import json
import re
from typing import Any

import pytest

from allotrope.testing import ProviderSimulator, Reply


def test_a_question_nobody_could_answer_is_kept_and_answered_later(
    cli: Any, simulator: ProviderSimulator
) -> None:
    simulator.faults.add("503", provider="openai")
    simulator.down("ollama")
    ran = cli("ask", "assistant", "What is the capital of Italy?")
    assert ran.code == 3
    assert "No model can answer now: OpenAI has a server error, next try in" in ran.err
    found = re.search(r"`allotrope ask --resume (\w+)`", ran.err)
    assert found, ran.err
    simulator.faults.clear()
    simulator.up("ollama")
    assert cli("breaker", "reset", "openai/o3").code == 0
    simulator.script(["Rome."], provider="openai")
    again = cli("ask", "--resume", found[1], "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["answer"] == "Rome."
    asked = [m for m in simulator.requests[-1].body["messages"] if m["role"] == "user"]
    assert [m["content"] for m in asked] == ["What is the capital of Italy?"]
    nothing = cli("ask", "--resume", found[1])
    assert nothing.code == 2
    assert "waits for an answer" in nothing.err


def test_a_kept_question_can_be_answered_as_a_stream(
    cli: Any, simulator: ProviderSimulator
) -> None:
    simulator.faults.add("quota", provider="openai")
    simulator.down("ollama")
    ran = cli("ask", "assistant", "What is the capital of Italy?", "--thread", "kept")
    assert ran.code == 3
    simulator.faults.clear()
    simulator.up("ollama")
    assert cli("breaker", "reset", "openai").code == 0
    simulator.script(["Rome is the capital."], provider="openai")
    again = cli("ask", "--resume", "kept", "--stream", "--json")
    assert again.code == 0, again.err
    events = [json.loads(line) for line in again.out.splitlines()]
    tokens = [event["text"] for event in events if event["type"] == "token"]
    assert len(tokens) > 1
    assert "".join(tokens) == events[-1]["answer"] == "Rome is the capital."
    nothing = cli("ask", "--resume", "kept", "--stream")
    assert nothing.code == 2
    assert "waits for an answer" in nothing.err


def test_a_degraded_answer_says_so(cli: Any, simulator: ProviderSimulator) -> None:
    simulator.faults.add("429", provider="openai", retry_after=42)
    ran = cli("ask", "assistant", "hi")
    assert ran.code == 0
    assert re.search(
        r"— OpenAI is rate-limited, next try in 4\d s; answered by llama3\.1 on Ollama\.", ran.err
    )
    shown = json.loads(cli("status", "--json").out)
    row = next(row for row in shown["circuits"] if row["name"] == "openai/o3")
    assert row["state"] == "open"
    assert 30 < row["next_probe_s"] <= 47
    assert row["errors"][0]["error"] == "RateLimitedError"
    assert shown["answers_now"] == {"provider": "ollama", "model": "llama3.1"}
    assert shown["sharing"] == "redis"


def test_an_operator_isolates_and_resets(cli: Any, simulator: ProviderSimulator) -> None:
    assert cli("breaker", "isolate", "openai", "--reason", "maintenance").code == 0
    ran = cli("ask", "assistant", "hi", "--json")
    told = json.loads(ran.out)
    assert told["degraded"]["message"].startswith("OpenAI is switched off by an operator;")
    assert all(request.provider != "openai" for request in simulator.requests)
    assert "isolated" in cli("status").out
    assert cli("breaker", "reset", "openai").code == 0
    assert json.loads(cli("ask", "assistant", "hi", "--json").out)["provider"] == "openai"
    wrong = cli("breaker", "reset", "opnai")
    assert wrong.code == 2
    assert "openai/o3" in wrong.err


@pytest.mark.parametrize("kind", ["cut", "sse_error"])
def test_a_broken_stream_restarts_and_nothing_is_glued(
    cli: Any, simulator: ProviderSimulator, kind: str
) -> None:
    simulator.script([Reply("One two three four five six.")], provider="openai")
    simulator.script([Reply("Seven eight.")], provider="ollama")
    simulator.faults.add(kind, provider="openai", after_tokens=3)
    ran = cli("ask", "assistant", "count", "--json", "--stream")
    events = [json.loads(line) for line in ran.out.splitlines()]
    kinds = [event["type"] for event in events]
    assert "restart" in kinds
    after = events[kinds.index("restart") + 1 :]
    assert "".join(e["text"] for e in after if e["type"] == "token") == "Seven eight."
    assert next(e["type"] for e in after) == "degraded"
    assert events[-1]["answer"] == "Seven eight."


def test_it_needs_an_agent_and_a_question(cli: Any) -> None:
    assert cli("ask", "assistant").code == 2
    assert cli("ask", "--resume", "x", "assistant", "text").code == 2


@pytest.mark.parametrize("agent", ["assistant", "creative"])
def test_who_asks_again_after_an_outage_has_the_question_in_the_thread_once(
    agent: str, simulator: ProviderSimulator, simulator_environ: dict[str, str]
) -> None:
    from allotrope.agents.agent import build_agent
    from allotrope.exceptions import AllProvidersFailedError
    from allotrope.settings import load_settings

    settings = load_settings(environ=simulator_environ, env_file=None)
    question = "Write a poem about Rome."
    with build_agent(agent, settings=settings) as ready:
        simulator.down("openai")
        simulator.down("ollama")
        for _ in range(2):
            with pytest.raises(AllProvidersFailedError):
                ready.ask(question, thread_id="kept")
        simulator.up("ollama")
        assert ready.ask(question, thread_id="kept").answer
        kept = [message.type for message in ready.history("kept")]
        assert kept == ["human", "ai"]
        ready.ask(question, thread_id="kept")  # answered: now it is another turn
        kept = [message.type for message in ready.history("kept")]
        assert kept == ["human", "ai", "human", "ai"]


async def test_a_kept_question_is_answered_later_by_coroutines_too(
    simulator: ProviderSimulator, simulator_environ: dict[str, str]
) -> None:
    from allotrope.agents.agent import build_agent
    from allotrope.exceptions import AllProvidersFailedError, InputError
    from allotrope.settings import load_settings

    settings = load_settings(environ=simulator_environ, env_file=None)
    simulator.faults.add("503", provider="openai", times=3)
    simulator.down("ollama")
    with build_agent("assistant", settings=settings) as agent:
        with pytest.raises(AllProvidersFailedError):
            agent.ask("What is the capital of Italy?", thread_id="kept")
        simulator.up("ollama")
        simulator.script(["Rome."], provider="ollama")
        reply = await agent.aresume("kept")
        assert reply.as_dict()["answer"] == "Rome."
        with pytest.raises(InputError, match="waits for an answer"):
            await agent.aresume("kept")


def test_status_is_shown_again_until_it_is_stopped(
    cli: Any, simulator: ProviderSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("allotrope.cli.status.pause", pause)
    ran = cli("status", "--watch", "--json")
    assert ran.code == 130
    assert len([json.loads(line) for line in ran.out.splitlines()]) == 2
    assert pauses == [1.0, 1.0]
