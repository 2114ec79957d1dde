"""Loops of tools end in an answer: what may run, what is run once, and what a cut turn leaves."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool, ToolException
from langgraph.checkpoint.memory import InMemorySaver

from allotrope import RunContext, load_settings
from allotrope.graphs.assistant import build_graph
from allotrope.graphs.parts import Parts
from allotrope.models.chain import chain_of
from allotrope.testing import ScriptedChatModel, ToolCall


class Bench:
    """The assistant's graph with two tools and a scripted model."""

    def __init__(self, folder: Path, *, is_async: bool) -> None:
        self.ran: list[str] = []
        self.is_async = is_async
        self.model = ScriptedChatModel(strict=True)
        settings = load_settings(
            environ={}, env_file=None, data_dir=folder, cache={"enabled": False}, callbacks=[],
            redis={"embedded": False},
        )  # fmt: skip
        parts = Parts(settings, chain_of=lambda profile: chain_of([self.model]))

        def look_up(word: str) -> str:
            """Looks a word up."""
            self.ran.append(word)
            return f"{word}: a word"

        def broken(word: str) -> str:
            """Fails."""
            self.ran.append(word)
            raise ToolException("no such word")

        tools = [StructuredTool.from_function(one) for one in (look_up, broken)]
        for tool in tools:
            tool.handle_tool_error = True
        self.graph = build_graph(tools=tools, parts=parts, checkpointer=InMemorySaver())

    def ask(self, *answers: Any, text: str = "hi", limit: int = 50, **more: Any) -> dict[str, Any]:
        self.model.answers = [*self.model.answers, *answers]
        given: Any = {"messages": [HumanMessage(text)]}
        config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": limit}
        if self.is_async:
            return asyncio.run(self.graph.ainvoke(given, config, **more))
        return self.graph.invoke(given, config, **more)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, is_async=request.param)


def answers_of_tools(state: dict[str, Any]) -> list[ToolMessage]:
    return [one for one in state["messages"] if isinstance(one, ToolMessage)]


def ended(state: dict[str, Any]) -> str:
    """The answer of a turn after which the next prompt is one that providers take."""
    last = state["messages"][-1]
    assert isinstance(last, AIMessage)
    assert not last.tool_calls
    answered = {one.tool_call_id for one in answers_of_tools(state)}
    for message in state["messages"]:
        if isinstance(message, AIMessage):
            assert {call["id"] for call in message.tool_calls} <= answered
    return str(last.text)


LOOK = ToolCall("look_up", {"word": "ox"})


def test_a_tool_that_a_run_may_not_use_never_runs(bench: Bench) -> None:
    state = bench.ask(LOOK, "Then not.", context=RunContext(tools_allowed=["broken"]))
    assert bench.ran == []
    assert "look_up isn't available here. Available: broken" in answers_of_tools(state)[0].text
    assert ended(state) == "Then not."


def test_without_any_tool_a_call_ends_in_a_sentence(bench: Bench) -> None:
    state = bench.ask(LOOK, context=RunContext(tools_allowed=[]))
    assert bench.ran == []
    assert "kept asking for tools (look_up)" in ended(state)


def test_what_was_said_beside_a_call_is_the_answer_where_no_tools_are_left(bench: Bench) -> None:
    said = AIMessage("An ox, I think.", tool_calls=[{"name": "look_up", "args": {}, "id": "1"}])
    assert ended(bench.ask(said, context=RunContext(tools_allowed=[]))) == "An ox, I think."


def test_a_call_that_is_repeated_is_run_once_and_the_model_is_told(bench: Bench) -> None:
    state = bench.ask(LOOK, LOOK, "An ox.")
    assert bench.ran == ["ox"]
    assert "You made this very call before" in answers_of_tools(state)[1].text
    assert ended(state) == "An ox."
    bench.ask(LOOK, "An ox again.", text="Look again.")
    assert bench.ran == ["ox", "ox"], "another turn is another matter"


def test_equal_calls_of_one_message_are_run_once(bench: Bench) -> None:
    calls: list[Any] = [{"name": "look_up", "args": {"word": "ox"}, "id": str(n)} for n in range(3)]
    assert ended(bench.ask(AIMessage("", tool_calls=calls), "An ox.")) == "An ox."
    assert bench.ran == ["ox"]


def test_a_call_that_failed_may_be_tried_once_more(bench: Bench) -> None:
    fails = ToolCall("broken", {"word": "ox"})
    assert ended(bench.ask(fails, fails, fails, "I can't.")) == "I can't."
    assert bench.ran == ["ox", "ox"]


def test_a_model_that_goes_round_in_circles_is_asked_for_its_answer(bench: Bench) -> None:
    other = ToolCall("look_up", {"word": "cow"})
    state = bench.ask(LOOK, other, LOOK, other, LOOK)
    assert bench.ran == ["ox", "cow"]
    assert len(bench.model.calls) == 5
    assert not bench.model.call_options[-1].get("tools")
    assert "kept asking for tools (look_up)" in ended(state)


def test_a_model_that_wants_ever_more_ends_in_an_answer_at_the_limit(bench: Bench) -> None:
    endless = [ToolCall("look_up", {"word": f"w{n}"}) for n in range(30)]
    assert "kept asking for tools" in ended(bench.ask(*endless, limit=13))


def test_a_turn_cut_off_before_its_tools_ran_leaves_a_prompt_that_works(bench: Bench) -> None:
    more: dict[str, Any] = {"interrupt_before": ["tools"]}
    bench.ask(AIMessage("Wait.", tool_calls=[{"name": "look_up", "args": {}, "id": "1"}]), **more)
    bench.ask(LOOK, text="And now?", **more)
    state = bench.ask("Here.", text="Hello?")
    assert ended(state) == "Here."
    texts = [message.text for message in state["messages"]]
    assert texts == ["hi", "Wait.", "And now?", "Hello?", "Here."]
    sent = bench.model.calls[-1]
    assert not [one for one in sent if isinstance(one, AIMessage) and one.tool_calls]


def test_the_sentence_is_streamed_too(bench: Bench) -> None:
    bench.model.answers = [LOOK]
    given: Any = {"messages": [HumanMessage("hi")]}
    config: Any = {"configurable": {"thread_id": "t"}}
    context = RunContext(tools_allowed=[])
    parts = list(bench.graph.stream(given, config, context=context, stream_mode="custom"))
    assert "kept asking for tools" in "".join(
        part["text"] for part in parts if part["type"] == "token"
    )
