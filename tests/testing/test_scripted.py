"""The scripted chat model: the same answers sync, async and streamed, tools, schemas, errors."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from allotrope.exceptions import InputError, ProviderUnavailableError
from allotrope.testing import Reply, ScriptedChatModel, ToolCall


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


class Verdict(BaseModel):
    """A verdict."""

    score: int
    why: str


async def test_same_answer_four_ways() -> None:
    model = ScriptedChatModel(answers=["one two three"] * 4)
    plain, later = model.invoke("hi"), await model.ainvoke("hi")
    chunks = list(model.stream("hi"))
    assert plain.content == later.content == "one two three"
    assert [chunk.content for chunk in chunks] == ["one ", "two ", "three", ""]
    assert "".join([str(c.content) async for c in model.astream("hi")]) == "one two three"
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.usage_metadata == plain.usage_metadata
    assert len(model.calls) == 4


def test_echo_after_the_script_unless_strict() -> None:
    assert ScriptedChatModel().invoke("hi").content == "Echo: hi"
    strict = ScriptedChatModel(answers=["x"], strict=True)
    strict.invoke("hi")
    with pytest.raises(InputError, match="1 answers and was asked once more"):
        strict.invoke("hi")


def test_errors_callables_replies_and_messages() -> None:
    outage = ProviderUnavailableError("down", provider="openai")
    model = ScriptedChatModel(
        answers=[
            outage,
            lambda messages: f"{len(messages)} messages",
            Reply("cut", finish_reason="length"),
            AIMessage("as it is"),
        ]
    )
    with pytest.raises(ProviderUnavailableError):
        model.invoke("hi")
    assert model.invoke([HumanMessage("a"), HumanMessage("b")]).content == "2 messages"
    assert model.invoke("hi").response_metadata["finish_reason"] == "length"
    assert model.invoke("hi").content == "as it is"


async def test_tools_plain_and_streamed() -> None:
    model = ScriptedChatModel(answers=[ToolCall("add", {"a": 1, "b": 2})] * 2)
    bound = model.bind_tools([add])
    assert bound.invoke("1+2").tool_calls[0]["args"] == {"a": 1, "b": 2}
    whole = None
    async for chunk in bound.astream("1+2"):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.tool_calls[0]["name"] == "add"
    assert model.call_options[0]["tools"][0]["function"]["name"] == "add"


def test_unscripted_tool_loop_ends() -> None:
    model = ScriptedChatModel().bind_tools([add])
    question = HumanMessage("please add 3 and 4")
    call = model.invoke([question])
    assert call.tool_calls[0]["args"] == {"a": 3, "b": 4}
    result = ToolMessage("7", tool_call_id=call.tool_calls[0]["id"])
    assert model.invoke([question, call, result]).content == "The tool said: 7"


def test_a_tool_is_called_by_its_word_not_by_a_part_of_another() -> None:
    model = ScriptedChatModel().bind_tools([add])
    assert not model.invoke("where does the ladder stand?").tool_calls
    assert model.invoke("adding 3 and 4 makes?").tool_calls


def test_structured_output() -> None:
    model = ScriptedChatModel().with_structured_output(Verdict)
    assert model.invoke("score 5") == Verdict(score=5, why="why")


def test_streams_through_a_graph() -> None:
    model = ScriptedChatModel(answers=["one two"])

    def respond(state: MessagesState) -> dict[str, list[AIMessage]]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node(respond).add_edge(START, "respond").compile()
    given = {"messages": [HumanMessage("hi")]}
    tokens = [chunk.content for chunk, _ in graph.stream(given, stream_mode="messages")]
    assert "".join(tokens) == "one two"
    assert len(tokens) > 1
