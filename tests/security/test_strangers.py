"""Strangers behind one token who say the same never end up in one thread."""

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage

from allotrope.agents.agent import build_agent
from allotrope.exceptions import ThreadMovedOnError
from allotrope.settings import Settings
from allotrope.testing import Fault, ProviderSimulator


@pytest.fixture
def client(served: str) -> openai.OpenAI:
    with openai.OpenAI(base_url=f"{served}/v1", api_key="none", max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, *texts: str) -> tuple[str, str]:
    """What a client sends: user and assistant in turn; the answer and its thread."""
    roles = ("user", "assistant")
    turns: list[Any] = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    answer = client.chat.completions.create(model="assistant", messages=turns)
    return answer.choices[0].message.content or "", answer.model_extra["allotrope"]["thread_id"]


def test_a_pin_stays_out_of_the_thread_of_who_began_with_the_same_words(
    client: openai.OpenAI, simulator: ProviderSimulator
) -> None:
    simulator.script(["Hi there.", "Hi there.", "Noted.", "Which PIN?"])
    _, ann = ask(client, "Hello")
    _, ben = ask(client, "Hello")
    assert ann != ben
    _, after = ask(client, "Hello", "Hi there.", "My PIN is 4711.")
    assert after != ben
    _, bens = ask(client, "Hello", "Hi there.", "What is my PIN?")
    assert bens not in (ann, after)
    assert "4711" not in " ".join(turn.text for turn in simulator.chats()[-1].asked.turns)


def test_nor_does_one_who_goes_back_in_a_conversation_land_in_anothers_thread(
    client: openai.OpenAI, simulator: ProviderSimulator
) -> None:
    simulator.script(["Hi there.", "Fine.", "Hi there.", "Noted."])
    ask(client, "Hello")
    ask(client, "Hello", "Hi there.", "How are you?")
    _, ben = ask(client, "Hello")
    _, back = ask(client, "Hello", "Hi there.", "My PIN is 4711.")  # Ann edits her second message
    assert back != ben


def test_a_question_that_nobody_answered_is_gone_on_with_by_one_only(
    client: openai.OpenAI, simulator: ProviderSimulator
) -> None:
    simulator.script([Fault(kind="401"), Fault(kind="401")])
    with pytest.raises(openai.InternalServerError):
        ask(client, "Hello")
    simulator.script(["Hi there.", "Hi there.", "Noted."])
    _, first = ask(client, "Hello")
    _, second = ask(client, "Hello")
    assert first != second
    _, third = ask(client, "Hello", "Hi there.", "My PIN is 4711.")
    assert third not in (first, second)


async def test_who_waited_for_a_thread_that_went_on_meanwhile_stays_out_of_it(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    """What a lease of another server or a queue ends in: the first caller said more by then."""
    said: list[Any] = [HumanMessage("Hello"), AIMessage("Hi there.")]
    simulator.script(["Hi there.", "Noted.", "Sure."])
    async with build_agent(settings=simulator_settings) as agent:
        await agent.aask("Hello", thread_id="t")

        async def on(*before: Any, text: str = "Hello") -> str:
            stream = agent.astream(text, thread_id="t", before=before, recognised=True)
            return [event async for event in stream][-1]["answer"]

        with pytest.raises(ThreadMovedOnError):
            await on()
        assert await on(*said, text="My PIN is 4711.") == "Noted."
        with pytest.raises(ThreadMovedOnError):
            await on(*said, text="What is my PIN?")
        with pytest.raises(ThreadMovedOnError):
            await on()
    assert len(simulator.chats()) == 2
