"""Time travel: a branch recalls its own past, and nothing that only another branch said."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from allotrope import build_agent
from allotrope.memory.archive.archive import Archive
from allotrope.memory.archive.lineage import Lineage, lineage
from allotrope.memory.archive.postgres import PostgresDatabase
from allotrope.memory.archive.sqlite import SqliteDatabase
from allotrope.memory.memory import ConversationMemory
from allotrope.settings import load_settings
from allotrope.testing import ProviderSimulator

AT = datetime(2026, 5, 8, 12, tzinfo=UTC)

Make = Callable[..., ConversationMemory]


@given(st.data())
def test_the_past_is_what_following_back_from_each_message_gives(data: st.DataObject) -> None:
    follows: list[int] = []
    for seq in range(data.draw(st.integers(1, 30))):
        # mostly the one before, sometimes an earlier one
        follows.append(data.draw(st.one_of(st.just(seq - 1), st.integers(-1, seq - 1))))
    forks = {seq: before for seq, before in enumerate(follows) if before != seq - 1}
    tip = data.draw(st.integers(0, len(follows) - 1))
    walked, at = set(), tip
    while at >= 0:
        walked.add(at)
        at = follows[at]
    past = lineage(tip, forks)
    assert {seq for seq in range(-1, len(follows) + 1) if seq in past} == walked
    assert len(past) == len(walked)
    assert past.beyond(-1) == sorted(walked)
    assert past.beyond(tip) == []


def said(*texts: str, start: str = "m") -> list[BaseMessage]:
    kinds = (HumanMessage, AIMessage)
    return [kinds[i % 2](text, id=f"{start}{i}") for i, text in enumerate(texts)]


TRUNK = said("My dog is called Bruno.", "Noted.", "I live in Delft.", "A fine town.")
LEFT = said("My boat is called Petronella.", "A fine name.", "It is blue.", "I see.", start="l")
RIGHT = said("My bicycle is called Rocinante.", "Good.", "It is red.", "I see.", start="r")


def play(memory: ConversationMemory, *branches: Sequence[BaseMessage]) -> None:
    for branch in branches:
        for end in range(2, len(branch) + 1, 2):
            memory.after_turn(branch[:end], thread="t")


def prompt(memory: ConversationMemory, branch: Sequence[BaseMessage], question: str) -> str:
    """What is sent where only the last two messages of a branch are live."""
    asked = HumanMessage(question, id=f"q{question}")
    pack = memory.fit([*branch[-2:], asked], budget=600, thread="t", read_only=True)
    return "\n".join(message.text for message in pack.messages)


def test_each_branch_recalls_its_own_and_the_trunk(make_memory: Make) -> None:
    memory = make_memory(summary="off")
    left, right = [*TRUNK, *LEFT], [*TRUNK, *RIGHT]
    play(memory, left, right)
    question = "What are my dog, my boat and my bicycle called?"
    for branch, own, other in (
        (left, "Petronella", "Rocinante"),
        (right, "Rocinante", "Petronella"),
    ):
        sent = prompt(memory, branch, question)
        assert own in sent
        assert "Bruno" in sent
        assert other not in sent


def test_a_branch_that_begins_has_said_nothing_of_the_other(make_memory: Make) -> None:
    memory = make_memory(summary="off")
    play(memory, [*TRUNK, *LEFT])
    assert "Petronella" not in prompt(memory, TRUNK, "What is my boat called?")
    assert "Bruno" in prompt(memory, TRUNK, "What is my dog called?")


def test_the_recall_tool_searches_where_the_turn_stands(make_memory: Make) -> None:
    memory = make_memory(summary="off")
    play(memory, [*TRUNK, *LEFT], [*TRUNK, *RIGHT])
    rows = dict(memory.archive.database.run("SELECT text, row FROM archive_messages"))
    petronella = f"#{rows['My boat is called Petronella.']}"
    prompt(memory, [*TRUNK, *RIGHT], "And?")
    assert "Petronella" not in memory.search("boat Petronella", thread="t")
    assert "Petronella" not in memory.search(petronella, thread="t")
    assert "Bruno" in memory.search("dog", thread="t")
    prompt(memory, [*TRUNK, *LEFT], "And?")
    assert "Petronella" in memory.search("boat Petronella", thread="t")
    assert "Petronella" in memory.search(petronella, thread="t")
    assert "Rocinante" not in memory.search("bicycle Rocinante", thread="t")


def test_the_summary_is_the_branchs_own(make_memory: Make) -> None:
    memory = make_memory(summary="extract", summary_every_tokens=64)
    filler = said(
        *["Let us talk about the weather of May, and of all that grows in the garden."] * 16,
        start="f",
    )
    left, right = [*TRUNK, *LEFT, *filler], [*TRUNK, *RIGHT]
    play(memory, left)
    assert "Petronella" in prompt(memory, left, "Hm.")
    assert "Petronella" not in prompt(memory, TRUNK, "Hm.")
    right += said(
        *["Let us talk about the weather of June, and of all that grows in the garden."] * 16,
        start="g",
    )
    play(memory, right)
    assert memory.summariser is not None
    facts = memory.archive.thread("default", "t")
    assert facts is not None
    tips = memory.archive.positions(facts, [left[-1], right[-1]])
    one = memory.summariser.read(facts, tip=tips[str(left[-1].id)][1])
    two = memory.summariser.read(facts, tip=tips[str(right[-1].id)][1])
    assert "Petronella" in str(one.facts)
    assert "Rocinante" not in str(one.facts)
    assert "Rocinante" in str(two.facts)
    assert "Petronella" not in str(two.facts)
    assert "Bruno" in str(two.facts)


def test_a_correction_of_another_branch_corrects_nothing_here(make_memory: Make) -> None:
    memory = make_memory(summary="off")
    fixed = said(
        "No, actually my dog is called Cerberus.", "I see.", "It is late.", "Yes.", start="c"
    )
    play(memory, [*TRUNK, *fixed], [*TRUNK, *RIGHT])
    there = prompt(memory, [*TRUNK, *fixed], "What is my dog called?")
    assert "Cerberus" in there
    here = prompt(memory, [*TRUNK, *RIGHT], "What is my dog called?")
    assert "Bruno" in here
    assert "Cerberus" not in here
    assert "corrected" not in here


def test_facts_told_only_in_another_branch_are_left_out(make_memory: Make) -> None:
    memory = make_memory(summary="off", facts=True)
    left, right = [*TRUNK, *LEFT], [*TRUNK, *RIGHT]
    for branch in (left, right):
        for end in range(2, len(branch) + 1, 2):
            memory.after_turn(branch[:end], thread="t")
            memory.learn(branch[:end], user="u", thread="t")
    mine = memory.about("u", thread="t", messages=right[-2:])
    assert any("Rocinante" in line for line in mine)
    assert any("Bruno" in line for line in mine)
    assert not any("Petronella" in line for line in mine)
    elsewhere = memory.about("u", thread="another", messages=())
    assert any("Petronella" in line for line in elsewhere)
    memory.learn(LEFT[:1], user="u", thread="another")  # told again, where it counts for all
    assert any("Petronella" in line for line in memory.about("u", thread="t", messages=right[-2:]))


@pytest.mark.parametrize("edited", [2, 3])
def test_a_message_that_was_edited_under_its_id_is_the_branchs_own(
    make_memory: Make, edited: int
) -> None:
    memory = make_memory(summary="off")
    before = [*TRUNK[:2], *said("", "", "My boat is called Petronella.", "Blue Petronella.")[2:]]
    other = {2: "My boat is called Rocinante.", 3: "Red Rocinante."}[edited]
    after = [*before[:edited], before[edited].model_copy(update={"content": other})]
    if edited == 2:
        after.append(AIMessage("Noted.", id="n"))
    more = said("It sails.", "Does it?", "Every day.", "I see.", start="x")
    first, second = [*before, *LEFT[2:]], [*after, *more]
    play(memory, first, second)
    question = "What is my boat called, Petronella or Rocinante, blue or red?"
    at_first, at_second = prompt(memory, first, question), prompt(memory, second, question)
    assert ("Blue Petronella." in at_first, "Rocinante" in at_first.replace(question, "")) == (
        True,
        False,
    )
    assert other in at_second
    assert before[edited].text not in at_second
    memory.after_turn(second, thread="t")  # what is archived stays there once
    texts = [text for (text,) in memory.archive.database.run("SELECT text FROM archive_messages")]
    assert texts.count(other) == texts.count(before[edited].text) == 1


def test_a_thread_that_lost_its_checkpoints_still_recalls_everything(make_memory: Make) -> None:
    memory = make_memory(summary="off")
    play(memory, [*TRUNK, *LEFT])
    anew = said("Hello again.", "Hello.", start="n")
    memory.after_turn(anew, thread="t")
    sent = prompt(memory, anew, "What are my dog and my boat called?")
    assert "Bruno" in sent
    assert "Petronella" in sent


@pytest.mark.postgres
def test_the_same_in_postgresql(postgres_url: str) -> None:
    import uuid

    archive, tenant = Archive(PostgresDatabase(postgres_url)), uuid.uuid4().hex
    try:
        archive.add(tenant, "t", [*TRUNK, *LEFT], at=AT)
        archive.add(tenant, "t", [*TRUNK, *RIGHT], at=AT)
        facts = archive.thread(tenant, "t")
        assert facts is not None
        assert facts.forks == 1
        assert archive.lineage(facts, 11) == Lineage(((0, 3), (8, 11)))
        archive.delete_thread(tenant, "t")
        assert archive.database.run(
            "SELECT count(*) FROM archive_forks WHERE thread_key = ?", (facts.key,)
        ) == [(0,)]
    finally:
        archive.close()


def test_a_thread_without_branches_asks_nothing_more_of_its_archive(tmp_path: Path) -> None:
    archive = Archive(SqliteDatabase(tmp_path / "a.sqlite"))
    try:
        for end in range(1, len(TRUNK) + 1):
            archive.add("default", "t", TRUNK[:end], at=AT)
        facts = archive.thread("default", "t")
        assert facts is not None
        assert facts.forks == 0
        asked: list[str] = []
        connection = archive.database._file.connection()  # type: ignore[attr-defined]
        connection.set_trace_callback(asked.append)
        assert archive.lineage(facts, 3) == Lineage(((0, 3),))
        assert asked == []
    finally:
        archive.close()


async def test_an_agent_that_goes_back_in_time(
    tmp_path: Path, simulator: ProviderSimulator
) -> None:
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path,
        openai={"api_key": "sk-x", "base_url": simulator.openai_url, "model": "o3"},
        ollama={"enabled": False},
        embedded={"enabled": False},
        redis={"embedded": False},
        memory={"live_messages": 4, "summary": "extract", "summary_every_tokens": 64},
    )

    async def ask(config: Any, text: str) -> str:
        simulator.reset()
        await graph.ainvoke({"messages": [HumanMessage(text)]}, config)
        return str([request.body for request in simulator.requests])

    async with build_agent("assistant", settings=settings) as agent:
        config = agent.thread_config("t")
        await agent.aask("My dog is called Bruno.", thread_id="t")
        await agent.aask("I live in Delft.", thread_id="t")
        graph = await agent.agraph()
        early = (await graph.aget_state(config)).config
        await agent.aask("My boat is called Petronella, mind you.", thread_id="t")
        for number in range(5):
            await agent.aask(f"Tell me about the weather of day {number}.", thread_id="t")
        assert "Petronella" in await ask(config, "What are my dog and my boat called?")
        back = await ask(early, "What are my dog and my boat called?")
        assert "Petronella" not in back
        for number in range(5):
            await ask(config, f"Tell me about the tide of day {number}.")
        later = await ask(config, "What are my dog and my boat called then?")
        assert "Petronella" not in later
        assert "Bruno" in later
