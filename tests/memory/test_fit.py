"""Any conversation, any budget: it fits, or it is refused; nothing is torn apart."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from tests.memory.strategies import conversations

from allotrope.exceptions import InputTooLongError
from allotrope.memory.context.fit import fit, newest
from allotrope.memory.context.pieces import Kind, Piece, latest_user_at
from allotrope.memory.tokens.counting import TokenCounter

COUNTER = TokenCounter()


def check_tools(messages: list[BaseMessage]) -> None:
    """Each tool message follows its call, and each call has all its results."""
    waiting: set[str] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in waiting, "an orphan tool message"
            waiting.discard(message.tool_call_id)
            continue
        assert not waiting, "a tool call lost a result"
        if isinstance(message, AIMessage):
            waiting = {str(call["id"]) for call in message.tool_calls}
    assert not waiting, "a tool call lost a result"


@settings(max_examples=150)
@given(conversations, st.integers(min_value=1, max_value=700))
def test_any_conversation_in_any_budget(messages: list[BaseMessage], budget: int) -> None:
    for index, message in enumerate(messages):
        message.id = str(index)
    try:
        result = fit(messages, budget=budget, counter=COUNTER)
    except InputTooLongError:
        return
    assert COUNTER.messages(result.messages) <= budget
    assert result.audit["tokens"] == COUNTER.messages(result.messages)
    check_tools(result.messages)
    order = [int(str(message.id)) for message in result.messages]
    assert order == sorted(order)
    user_at = latest_user_at(messages)
    assert user_at is None or user_at in order
    assert len(result.messages) + result.audit["left_out_messages"] == len(messages)


def test_what_fits_is_unchanged() -> None:
    messages: list[BaseMessage] = [
        SystemMessage("Be brief."),
        HumanMessage("a"),
        AIMessage("b"),
        HumanMessage("c"),
    ]
    assert fit(messages, budget=1000).messages == messages


def test_the_newest_turns_stay_without_gaps() -> None:
    messages: list[BaseMessage] = [SystemMessage("Be brief.")]
    for index in range(50):
        messages += [HumanMessage(f"question {index} " * 5), AIMessage(f"answer {index} " * 5)]
    messages.append(HumanMessage("and now?"))
    result = fit(messages, budget=300)
    assert result.messages[0] is messages[0]
    assert result.messages[1:] == messages[-len(result.messages) + 1 :]
    assert result.audit["left_out_messages"] > 80
    assert len(result.audit["left_out"]) == 40


def test_a_long_latest_turn_loses_its_middle_with_a_notice() -> None:
    long = "START " + "filler words go here " * 3000 + " END"
    result = fit([SystemMessage("s"), HumanMessage(long, id="u")], budget=500)
    text = str(result.messages[-1].content)
    assert text.startswith("START")
    assert text.endswith("END")
    assert "left out to fit" in text
    assert result.audit["shortened"] == ["u"]


def test_a_long_tool_result_of_the_open_run_is_shortened_not_lost() -> None:
    call = {"name": "read", "args": {}, "id": "c", "type": "tool_call"}
    messages: list[BaseMessage] = [
        HumanMessage("read it"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("HEAD " + "line of a log\n" * 5000 + "TAIL", tool_call_id="c"),
    ]
    result = fit(messages, budget=400)
    assert len(result.messages) == 3
    assert "HEAD" in str(result.messages[2].content)
    assert "TAIL" in str(result.messages[2].content)


def test_an_impossible_budget_is_refused_with_the_sum() -> None:
    with pytest.raises(InputTooLongError, match="room for 20"):
        fit([SystemMessage("word " * 100), HumanMessage("hi")], budget=20)


def test_fitting_again_for_a_smaller_model_is_stable() -> None:
    messages: list[BaseMessage] = [HumanMessage(f"turn {i} " * 20) for i in range(40)]
    first = fit(messages, budget=600)
    assert fit(first.messages, budget=600).messages == first.messages
    assert COUNTER.messages(fit(first.messages, budget=200).messages) <= 200


def test_the_newest_pieces_are_taken_without_a_gap() -> None:
    turns = [HumanMessage("word " * length) for length in (1, 90, 1, 1)]
    pieces = [Piece(Kind.RECENT, (message,), at) for at, message in enumerate(turns)]
    kept: list[Piece] = []
    left = newest(pieces, 40, COUNTER, kept)
    assert [piece.at for piece in kept] == [3, 2]
    assert left == 40 - 2 * COUNTER.message(turns[0])
