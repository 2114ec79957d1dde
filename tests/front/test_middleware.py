"""Our parts inside `langchain.agents.create_agent`, sync and async by the same cases."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from allotrope.exceptions import (
    AllProvidersFailedError,
    BudgetExceededError,
    InputTooLongError,
)
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.middleware import FailoverMiddleware, MemoryMiddleware, UsageMiddleware
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator, Reply, ToolCall
from allotrope.usage.ledger.ledger import make_ledger
from allotrope.usage.queries import sums as queries

Run = Callable[[Any, list[Any]], Awaitable[dict[str, Any]]]


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an agent on messages."""
    if request.param == "sync":
        return lambda agent, messages: asyncio.to_thread(agent.invoke, {"messages": messages})
    return lambda agent, messages: agent.ainvoke({"messages": messages})


def own(simulator: ProviderSimulator) -> ChatOpenAI:
    """The model a user would have given the agent."""
    return ChatOpenAI(
        model="o3", base_url=simulator.openai_url, api_key="sk-test", max_retries=0, timeout=10
    )


async def test_an_outage_fails_over_inside_the_agent(
    run: Run, simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    simulator.faults.add(503, provider="openai")
    simulator.script(
        [Reply(tool_calls=(ToolCall("add", {"a": 2, "b": 3}),)), "5"], provider="ollama"
    )
    agent = create_agent(
        own(simulator), [add], middleware=[FailoverMiddleware(settings=simulator_settings)]
    )
    messages = (await run(agent, [HumanMessage("2 + 3?")]))["messages"]
    assert messages[-1].text == "5"
    stamp = messages[-1].response_metadata["allotrope"]
    assert stamp["provider"] == "ollama"
    assert stamp["degraded"]["message"]
    assert {failure["provider"] for failure in stamp["failover"]} == {"openai"}


async def test_an_open_circuit_asks_no_more(
    run: Run, simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    simulator.faults.add(401, provider="openai")
    simulator.script(["one", "two", "three"], provider="ollama")
    failover = FailoverMiddleware(settings=simulator_settings)
    agent = create_agent(own(simulator), [], middleware=[failover])
    for text in ("one", "two", "three"):
        assert (await run(agent, [HumanMessage(text)]))["messages"][-1].text == text
    assert len(simulator.chats("openai")) == 1


async def test_a_profile_brings_its_cost_limit(
    run: Run, simulator: ProviderSimulator, simulator_settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "tight.yaml").write_text(
        "name: tight\ndescription: Costs next to nothing.\nbudget: {max_cost_usd: 0.000001}\n"
    )
    settings = simulator_settings.model_copy(
        update={"profiles": simulator_settings.profiles.model_copy(update={"folder": folder})}
    )
    simulator.script([Reply(tool_calls=(ToolCall("add", {"a": 2, "b": 3}),)), "5"])
    failover = FailoverMiddleware(settings=settings, profile="tight")
    agent = create_agent(own(simulator), [add], middleware=[failover])
    with pytest.raises(BudgetExceededError, match=r"profile 'tight' allows 0\.000001"):
        await run(agent, [HumanMessage("2 + 3?")])
    assert len(simulator.requests) == 1


async def test_when_all_fail_every_cause_is_told(
    run: Run, simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    simulator.faults.add(401, provider="openai")
    simulator.down("ollama")
    agent = create_agent(
        own(simulator), [], middleware=[FailoverMiddleware(settings=simulator_settings)]
    )
    with pytest.raises(AllProvidersFailedError) as raised:
        await run(agent, [HumanMessage("hi")])
    assert [getattr(cause, "provider", None) for cause in raised.value.causes] == [
        "openai",
        "ollama",
    ]


async def test_memory_keeps_the_budget_and_the_latest_turn(
    run: Run, simulator: ProviderSimulator
) -> None:
    memory = MemoryMiddleware(budget_tokens=400)
    agent = create_agent(own(simulator), [], system_prompt="Be brief.", middleware=[memory])
    long = [m for n in range(60) for m in (HumanMessage(f"fact {n} " * 10), AIMessage("noted"))]
    state = await run(agent, [*long, HumanMessage("What was the last fact?")])
    sent = simulator.requests[-1].body["messages"]
    assert sent[0]["content"] == "Be brief."
    assert sent[-1]["content"] == "What was the last fact?"
    assert 2 < len(sent) < 30
    assert sum(TokenCounter().text(str(m["content"])) for m in sent) <= 400
    assert len(state["messages"]) == len(long) + 2, "the state keeps everything"
    assert memory.last_audit is not None
    assert memory.last_audit["left_out_messages"] > 0


async def test_what_can_never_fit_is_refused(run: Run, simulator: ProviderSimulator) -> None:
    agent = create_agent(
        own(simulator),
        [],
        system_prompt="rule " * 500,
        middleware=[MemoryMiddleware(budget_tokens=300)],
    )
    with pytest.raises(InputTooLongError, match=r"room for 300.*budget_tokens"):
        await run(agent, [HumanMessage("hi")])
    assert simulator.requests == []


async def test_usage_is_recorded(
    run: Run, simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    usage = UsageMiddleware(settings=simulator_settings, agent="shop", tenant="acme")
    agent = create_agent(own(simulator), [], middleware=[usage])
    await run(agent, [HumanMessage("hello")])
    for handler in usage._handlers or []:
        getattr(handler, "flush", bool)()
    with make_ledger(simulator_settings) as ledger:
        rows = queries.rows(ledger, queries.last_days(1))
    assert [(r["agent"], r["tenant"], r["provider"]) for r in rows] == [("shop", "acme", "openai")]
    assert rows[0]["input_tokens"] > 0
