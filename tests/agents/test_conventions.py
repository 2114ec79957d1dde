"""What every graph can do: be a node, travel in time, be cancelled, end before the limit."""

import asyncio
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from allotrope.agents import registry
from allotrope.agents.spec import AgentSpec
from allotrope.agents.tools.making import MAKERS, tools_named
from allotrope.exceptions import SettingsError
from allotrope.graphs.work.sandbox.backends import local

QUESTIONS = {
    "assistant": "What is the time?",
    "analyst": "What is in n.csv?",
    "creative": "Write a slogan.",
    "coder": "Write double(n).",
    "researcher": "How tall is the tower? tower.md",
}
ENDS = {
    "assistant": "Colourless",
    "analyst": "I could not get a result",
    "creative": "Colourless",
    "coder": "No code came out",
    "researcher": "Colourless",
}
FREE = {"coder_approval": False, "coder_isolation": False}
LEAST = {"analyst_repairs": 0, "coder_repairs": 0, "creative_revisions": 0, "research_repairs": 0}


@pytest.fixture
def at_work(bench: Any, tmp_path: Path) -> Any:
    """`at_work(agent)`: a bench with files, and a model whose answers no step can use."""
    (tmp_path / "n.csv").write_text("n\n1\n2\n")
    (tmp_path / "tower.md").write_text("The tower is 330 metres tall.")
    return lambda agent, **more: bench(
        agent, ["Colourless green ideas sleep furiously."] * 40, **{**FREE, **LEAST, **more}
    )


def last(state: Any) -> str:
    return str(state["messages"][-1].text)


@pytest.mark.parametrize("name", registry.AGENTS)
async def test_each_is_a_node_of_another_graph(name: str, at_work: Any) -> None:
    run = at_work(name)
    graph = registry.find(name).build(parts=run.parts)
    parent = StateGraph(MessagesState)
    parent.add_node("agent", graph)
    parent.add_edge(START, "agent")
    parent.add_edge("agent", END)
    whole = parent.compile(checkpointer=InMemorySaver())
    state = await whole.ainvoke({"messages": [HumanMessage(QUESTIONS[name])]}, run.config)
    assert last(state).startswith(ENDS[name])
    drawn = whole.get_graph(xray=1).draw_mermaid()
    assert "agent" in drawn
    assert "finish" in drawn


@pytest.mark.parametrize("name", registry.AGENTS)
def test_each_goes_on_from_an_earlier_checkpoint(name: str, at_work: Any) -> None:
    run = at_work(name)
    first = run.ask(QUESTIONS[name])
    asked = len(run.model.calls)
    assert last(first).startswith(ENDS[name])
    past = list(run.graph.get_state_history(run.config))
    before_end = next(state for state in past if set(state.next) & {"report", "finish"})
    again = run.graph.invoke(None, before_end.config)
    assert last(again) == last(first)
    assert len(run.model.calls) == asked, "what was answered before isn't asked again"
    begun = next(state for state in past if state.next == ("fit",))
    fork = run.graph.update_state(begun.config, {"messages": [HumanMessage("Only this: hello")]})
    assert run.graph.get_state(fork).values["messages"][-1].text == "Only this: hello"


@pytest.mark.parametrize("name", registry.AGENTS)
async def test_each_can_be_cancelled_and_keeps_the_question(name: str, at_work: Any) -> None:
    run = at_work(name)
    begun, let_go = asyncio.Event(), asyncio.Event()
    model = run.model
    plain = type(model)._agenerate

    async def waiting(self: Any, *given: Any, **more: Any) -> Any:
        begun.set()
        await let_go.wait()
        return await plain(self, *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "_agenerate", waiting)
        task = asyncio.create_task(run.aask(QUESTIONS[name]))
        await asyncio.wait_for(begun.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    kept = (await run.graph.aget_state(run.config)).values["messages"]
    assert [message.text for message in kept] == [QUESTIONS[name]]
    state = await run.graph.ainvoke(None, run.config)
    assert last(state).startswith(ENDS[name])


async def test_cancelling_ends_code_that_runs(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "```python\n# solution.py\nimport time\ntime.sleep(3600)\n```"
    tests = "```python\n# test_solution.py\nimport solution\n\ndef test_x():\n    pass\n```"
    run = bench("coder", [f"{code}\n{tests}"], code_timeout_s=60, **FREE)
    begun, ended = threading.Event(), threading.Event()
    watch, end = local.watch, local.end

    def watched(process: Any, *given: Any, **more: Any) -> Any:
        if more["wall_s"] == 60:
            begun.set()
        return watch(process, *given, **more)

    def ending(process: Any) -> None:
        end(process)
        assert process.poll() is not None
        if begun.is_set():
            ended.set()

    monkeypatch.setattr(local, "watch", watched)
    monkeypatch.setattr(local, "end", ending)
    task = asyncio.create_task(run.aask("Write add."))
    assert await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 10), "the code goes on"


async def test_approval_is_asked_and_answered_asynchronously(bench: Any) -> None:
    code = "```python\n# solution.py\nx = 1\n```\n"
    tests = (
        "```python\n# test_solution.py\nfrom solution import x\n\ndef test_x():\n    assert x\n```"
    )
    run = bench("coder", [code + tests], coder_approval=True)
    state = await run.aask("Let x be 1.")
    assert state["__interrupt__"][0].value["question"] == "Run this code?"
    waiting = await run.graph.aget_state(run.config)
    assert waiting.next == ("approve",)
    state = await run.graph.ainvoke(Command(resume={"answer": "yes"}), run.config)
    assert last(state).startswith("The tests pass")
    assert len(run.model.calls) == 1


@pytest.mark.parametrize("limit", [6, 9, 14])
def test_the_assistant_answers_before_the_limit(bench: Any, limit: int) -> None:
    """A model that calls tools for ever: near the end it gets none, and says what it knows."""

    def answer(messages: list[Any]) -> Any:
        if not run.model.call_options[-1].get("tools"):
            return "It is 2."
        call = {"name": "calculate", "args": {"expression": "1+1"}, "id": f"c{len(messages)}"}
        return AIMessage("", tool_calls=[call])

    run = bench("assistant", [answer] * 40, limit=limit)
    assert last(run.ask("What is 1+1?")) == "It is 2."
    assert len(run.model.calls) > 1


def test_a_spec_is_the_agent_its_graph_gets_name_prompt_and_tools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    def build(
        *, agent: str, prompt: str, tools: Sequence[BaseTool], profile: str | None = None
    ) -> Any:
        given.update(agent=agent, prompt=prompt, profile=profile, tools=[t.name for t in tools])

    monkeypatch.setitem(sys.modules, "own_graph", SimpleNamespace(build=build))
    spec = AgentSpec(
        name="desk", summary="Helps.", graph="own_graph:build", prompt="desk",
        profile="economical", tools=("calculate", "read"),
    )  # fmt: skip
    spec.build()
    assert given == {
        "agent": "desk", "prompt": "desk", "profile": "economical", "tools": ["calculate", "read"],
    }  # fmt: skip
    given.clear()
    with pytest.raises(TypeError, match="tools"):  # its own: the builder makes them
        replace(spec, tools=("fly",)).build()


def test_each_tool_has_the_name_under_which_it_is_asked_for() -> None:
    assert [tool.name for tool in tools_named(tuple(MAKERS))] == list(MAKERS)
    with pytest.raises(SettingsError, match="no tool 'fly'"):
        tools_named(["fly"])
