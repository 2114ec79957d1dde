"""Filler and repeated texts leave old messages; nothing that is said does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from allotrope.memory.compression.tidying import AGAIN, tidied, without_filler
from allotrope.memory.context.pieces import Kind, Piece
from allotrope.memory.context.prompt import Remembered, assemble
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.settings.memory import MemorySettings

COUNTER = TokenCounter()
LONG = "The pump in hall 3 runs at 1.10 bar and 48 °C; its serial number is PX-4411-b. " * 4


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Sure! I'd be happy to help! The code is 4711.", "The code is 4711."),
        ("Sure! It is moved to Friday.", "Sure! It is moved to Friday."),
        ("Certainly, I'd be happy to help with that! It is Rome.", "It is Rome."),
        ("Great question! I'm glad to help. It is Rome.", "It is Rome."),
        ("It is Rome.\n\nLet me know if you have any other questions!", "It is Rome."),
        ("It is Rome. I hope this helps! Please let me know if you need anything else.",
         "It is Rome."),
        ("Run:\n```\nSure! x = 1\n```", "Run:\n```\nSure! x = 1\n```"),
        ('He said: "Sure! Take 3."', 'He said: "Sure! Take 3."'),
        ("Sure enough, it is Rome.", "Sure enough, it is Rome."),
        ("Sure!", "Sure!"),
        ("I hope this helps!", "I hope this helps!"),
        ("Let me know if you need the plan of 2024.", "Let me know if you need the plan of 2024."),
    ],
)  # fmt: skip
def test_phrases_that_say_nothing_go_and_nothing_else(text: str, left: str) -> None:
    assert without_filler(text) == left


@given(st.text(max_size=200))
def test_an_answer_never_gets_empty_and_only_its_ends_go(text: str) -> None:
    short = without_filler(text)
    assert short in text
    assert bool(short.strip()) == bool(text.strip())


@given(st.sampled_from(["Great question! ", ""]), st.text(max_size=100), st.sampled_from(
    [" I hope this helps!", ""]))  # fmt: skip
def test_code_numbers_names_and_links_stay(start: str, middle: str, end: str) -> None:
    core = f'```\n{middle}\n``` 1.10 "Sure! yes." PX-4411 https://x.org/Sure!.'
    assert core in without_filler(f"{start}{core}{end}")


def piece(at: int, *messages: BaseMessage) -> Piece:
    return Piece(Kind.RECENT, messages, at)


def test_a_text_that_comes_again_stands_once_where_it_is_last() -> None:
    past = [
        piece(0, HumanMessage(LONG, id="1")),
        piece(1, ToolMessage(LONG, tool_call_id="c", id="2")),
        piece(2, AIMessage("short", id="3")),
        piece(3, AIMessage("short", id="4")),
    ]
    texts = [message.text for part in tidied(past, [], COUNTER) for message in part.messages]
    assert texts == [AGAIN, LONG, "short", "short"]
    texts = [
        message.text
        for part in tidied(past, [HumanMessage(LONG)], COUNTER)
        for message in part.messages
    ]
    assert texts == [AGAIN, AGAIN, "short", "short"]


def history(turns: int) -> list[BaseMessage]:
    messages: list[BaseMessage] = []
    for turn in range(turns):
        messages += [
            HumanMessage(LONG, id=f"u{turn}"),
            AIMessage(f"Great question! Noted, {turn}.", id=f"a{turn}"),
        ]
    return [*messages, HumanMessage("What is the serial number?", id="now")]


@given(st.integers(1, 12), st.integers(200, 2_000))
def test_what_a_reference_points_to_is_in_the_prompt(turns: int, budget: int) -> None:
    messages, _ = assemble(
        history(turns), Remembered(), budget=budget, counter=COUNTER, settings=MemorySettings()
    )
    texts = [message.text for message in messages]
    assert COUNTER.messages(messages) <= budget
    for at, text in enumerate(texts):
        if text == AGAIN:
            assert LONG in texts[at + 1 :]


def test_nothing_changes_while_there_is_room() -> None:
    messages, _ = assemble(
        history(3), Remembered(), budget=4_000, counter=COUNTER, settings=MemorySettings()
    )
    assert [message.text for message in messages] == [message.text for message in history(3)]


def test_more_turns_fit_when_texts_come_again() -> None:
    given_, budget = history(12), 400
    with_, without = (
        assemble(
            given_, Remembered(), budget=budget, counter=COUNTER,
            settings=MemorySettings(compress=compress),
        )[0]
        for compress in (True, False)
    )  # fmt: skip
    assert len(with_) > len(without)
