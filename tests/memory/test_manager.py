"""The memory as a graph uses it: archived whole, packed small, never failing the turn."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from tests.memory.conftest import COUNTER
from tests.memory.strategies import conversations
from tests.memory.test_fit import check_tools

from allotrope.exceptions import InputTooLongError, StoreError
from allotrope.memory.context.pieces import latest_user_at
from allotrope.memory.memory import ConversationMemory

MakeMemory = Callable[..., ConversationMemory]
FILLER = [
    "We walked along the river and talked about the weather for a long while.",
    "The new cafe has good coffee but the music is far too loud for me.",
    "I watched a film about deep sea divers yesterday evening.",
    "Could you explain how sourdough bread gets its taste?",
]


def turns(
    memory: ConversationMemory,
    texts: list[str],
    *,
    thread: str = "t",
    compactions: list[int] | None = None,
) -> list[BaseMessage]:
    """Plays user turns with short answers; gives the live messages that are left."""
    live: list[BaseMessage] = []
    for index, text in enumerate(texts):
        live.append(HumanMessage(text, id=f"u{index}"))
        gone = {m.id for m in memory.settle(live, thread=thread)}
        if gone and compactions is not None:
            compactions.append(len(gone))
        live = [m for m in live if m.id not in gone]
        live.append(AIMessage(f"Noted, number {index}.", id=f"a{index}"))
        memory.after_turn(live, thread=thread)
    return live


def prompt_text(messages: list[BaseMessage]) -> str:
    return "\n".join(str(message.content) for message in messages)


def test_planted_facts_come_back_after_two_hundred_turns(make_memory: MakeMemory) -> None:
    facts = {
        "What is the code of the warehouse door?": (
            "The warehouse door code is 48-17-KX.",
            "48-17-KX",
        ),
        "Who is our contact at Brightwater?": (
            "Our contact at Brightwater is Imke Adeyemi.",
            "Imke",
        ),
        "Which database did we decide on?": ("We decided to use PostgreSQL 16.", "PostgreSQL 16"),
        "What am I allergic to?": ("I am allergic to walnuts.", "walnuts"),
        "When does the train to Ghent leave?": ("The train to Ghent leaves at 06:42.", "06:42"),
        "How much rent do I pay?": ("My rent is 1,240 euros a month.", "1,240"),
        "What is my daughter called?": ("My daughter is called Solveig.", "Solveig"),
        "Which port does the staging server use?": ("The staging server uses port 9443.", "9443"),
        "What colour shall the logo have?": ("We agreed the logo is teal.", "teal"),
        "Where did I park the car?": ("I parked the car on level P3.", "P3"),
    }
    corrections = {
        "What is the project deadline?": (
            "The project deadline is 3 June.",
            "Correction: the project deadline is now 19 June.",
            "19 June",
            "3 June.",
        ),
        "What is my phone number?": (
            "My phone number is 555-0101.",
            "Actually, my phone number is 555-0199.",
            "555-0199",
            "555-0101",
        ),
    }
    memory = make_memory(live_messages=12, live_tokens=600, summary="extract")
    planted = [text for text, _ in facts.values()] + [old for old, *_ in corrections.values()]
    texts = [FILLER[i % 4] + f" ({i})" for i in range(200)]
    for place, text in enumerate(planted):
        texts[3 + place * 7] = text
    for place, (_, new, *_) in enumerate(corrections.values()):
        texts[120 + place * 9] = new
    compactions: list[int] = []
    live = turns(memory, texts, compactions=compactions)
    assert len(compactions) >= 20
    assert len(live) <= 12
    kept = 0
    for question, (_, value) in facts.items():
        pack = memory.fit([*live, HumanMessage(question)], budget=700, thread="t", read_only=True)
        assert COUNTER.messages(pack.messages) <= 700
        kept += value in prompt_text(pack.messages)
    for question, (_, _, new, old) in corrections.items():
        pack = memory.fit([*live, HumanMessage(question)], budget=700, thread="t", read_only=True)
        lines = prompt_text(pack.messages).splitlines()
        kept += any(new in line for line in lines)
        current = [line for line in lines if old in line and "corrected later" not in line]
        assert not current, "a superseded value stands there as if it held"
    assert kept / (len(facts) + len(corrections)) >= 0.95


def test_the_state_stays_small_and_nothing_is_lost(make_memory: MakeMemory) -> None:
    memory = make_memory(live_messages=10)
    live = turns(memory, [f"message number {i}" for i in range(60)])
    assert len(live) <= 11
    rows = memory.archive.export("default", "t")
    assert [row["data"]["id"] for row in rows] == [f"{k}{i}" for i in range(60) for k in "ua"]


def test_archiving_twice_adds_nothing(make_memory: MakeMemory) -> None:
    memory = make_memory()
    messages: list[BaseMessage] = [HumanMessage("one"), HumanMessage("one"), AIMessage("two")]
    memory.settle(messages, thread="t")
    memory.settle(messages, thread="t")
    assert len(memory.archive.export("default", "t")) == 3


def test_threads_and_tenants_do_not_see_each_other(make_memory: MakeMemory) -> None:
    memory = make_memory()
    memory.settle([HumanMessage("the zebra is striped", id="1")], thread="t", tenant="a")
    assert "zebra" in memory.search("zebra", thread="t", tenant="a")
    assert "zebra" not in memory.search("zebra", thread="t", tenant="b")
    assert "zebra" not in memory.search("zebra", thread="u", tenant="a")


def test_a_deleted_thread_is_gone_and_others_stay(make_memory: MakeMemory) -> None:
    memory = make_memory()
    memory.settle([HumanMessage("a striped zebra", id="1")], thread="t")
    memory.settle([HumanMessage("a zebra crossing", id="1")], thread="u")
    assert memory.delete_thread("t") == 1
    assert "zebra" not in memory.search("zebra", thread="t")
    assert "crossing" in memory.search("zebra", thread="u")
    assert memory.delete_thread("t") == 0


def test_a_tool_output_can_be_opened_by_its_number(make_memory: MakeMemory) -> None:
    memory = make_memory()
    output = "\n".join(f"row {i}: value {i * 7}" for i in range(2000))
    call = {"name": "query", "args": {"sql": "select"}, "id": "c", "type": "tool_call"}
    live: list[BaseMessage] = [
        HumanMessage("run the query", id="1"),
        AIMessage("", tool_calls=[call], id="2"),
        ToolMessage(output, tool_call_id="c", id="3"),
        AIMessage("Done.", id="4"),
        HumanMessage("thanks, and what's next?", id="5"),
    ]
    pack = memory.fit(live, budget=3000, thread="t")
    check_tools(pack.messages)
    tool = next(str(m.content) for m in pack.messages if isinstance(m, ToolMessage))
    assert COUNTER.text(tool) < 250
    handle = tool[tool.index("#") :].split(",")[0].split("]")[0]
    assert "row 1999: value 13993" in memory.search(handle, thread="t")


def test_a_broken_archive_costs_recall_never_the_turn(
    make_memory: MakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = make_memory()

    def broken(*_: object, **__: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(memory.archive, "add", broken)
    live: list[BaseMessage] = [HumanMessage(f"turn {i}", id=str(i)) for i in range(80)]
    pack = memory.fit(live, budget=500, thread="t")
    assert pack.messages[-1].content == "turn 79"
    assert pack.audit["degraded"] == "The disk is full."
    assert pack.remove == []
    assert memory.settle(live, thread="t") == []
    memory.after_turn(live, thread="t")


def test_long_user_turns_use_the_window_beyond_the_cap(make_memory: MakeMemory) -> None:
    memory = make_memory(context_tokens=1000)
    long = "a document to read " * 2000
    pack = memory.fit([HumanMessage(long, id="1")], budget=100_000, thread="t")
    assert pack.messages[-1].content == long


async def test_async_gives_the_same(make_memory: MakeMemory) -> None:
    memory = make_memory()
    live: list[BaseMessage] = [HumanMessage("the red bicycle", id="1"), AIMessage("yes", id="2")]
    await asyncio.to_thread(memory.after_turn, live, thread="t")
    asked = [*live, HumanMessage("which bicycle?", id="3")]
    first = memory.fit(asked, budget=500, thread="t", read_only=True)
    second = await asyncio.to_thread(memory.fit, asked, budget=500, thread="t")
    assert [m.content for m in first.messages] == [m.content for m in second.messages]


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(conversations, st.integers(min_value=20, max_value=900), st.data())
def test_any_conversation_fits(
    make_memory: MakeMemory, messages: list[BaseMessage], budget: int, data: st.DataObject
) -> None:
    thread = data.draw(st.uuids()).hex
    for index, message in enumerate(messages):
        message.id = str(index)
    memory = make_memory()
    try:
        pack = memory.fit(messages, budget=budget, thread=thread)
    except InputTooLongError:
        return
    finally:
        memory.archive.close()
    assert COUNTER.messages(pack.messages) <= budget
    check_tools(pack.messages)
    order = [int(str(m.id)) for m in pack.messages if str(m.id).isdigit()]
    assert order == sorted(order)
    at = latest_user_at(messages)
    assert at is None or at in order
    assert all(isinstance(item, RemoveMessage) for item in pack.remove)


def answer(previous: str, transcript: str) -> str:
    return (
        "Facts:\n- The user's cat is called Miso.\n- The invented budget is 99,999.\nDecisions:\n"
    )


def long_turns() -> list[str]:
    texts = [f"{FILLER[i % 4]} {FILLER[(i + 1) % 4]} ({i})" for i in range(40)]
    texts[2] = "My cat is called Miso and my dentist is Dr. Okonkwo."
    return texts


def test_the_summary_is_written_beside_and_checked(make_memory: MakeMemory) -> None:
    memory = make_memory(summarise=answer, summary_every_tokens=64)
    live = turns(memory, long_turns())
    assert memory.summariser is not None
    memory.summariser.close(timeout_s=5)
    pack = memory.fit([*live, HumanMessage("hello there")], budget=2000, thread="t")
    text = prompt_text(pack.messages)
    assert "Miso" in text
    assert "Okonkwo" in text, "a name the summary left out is appended from the source"
    assert "99,999" not in text, "an invented number is taken out"
    assert pack.audit["summariser"]["state"] == "model"


@pytest.mark.parametrize("kind", ["raises", "garbage", "empty", "hangs"])
def test_a_failing_summariser_never_fails_a_turn(make_memory: MakeMemory, kind: str) -> None:
    release = threading.Event()

    def bad(previous: str, transcript: str) -> str:
        if kind == "raises":
            raise RuntimeError("the model is down")
        if kind == "hangs":
            release.wait(20)
        return "" if kind == "empty" else "I'm sorry, I can't help with that."

    memory = make_memory(summarise=bad, summary_every_tokens=64)
    since = time.perf_counter()
    live = turns(memory, long_turns())
    pack = memory.fit([*live, HumanMessage("Who is my dentist?", id="q")], budget=800, thread="t")
    assert time.perf_counter() - since < 30
    assert "Okonkwo" in prompt_text(pack.messages)
    assert COUNTER.messages(pack.messages) <= 800
    release.set()
    assert memory.summariser is not None
    memory.summariser.close(timeout_s=5)
    if kind != "hangs":
        assert memory.summariser.state()["failures"] >= 1
        assert "Okonkwo" in str(memory.summariser.read(memory.archive.thread("default", "t")))  # type: ignore[arg-type]  # the thread is there


CRASH = """
import os, signal, sys
from pathlib import Path
from langchain_core.messages import AIMessage, HumanMessage
from allotrope.memory.opening import open_memory
from allotrope.settings import load_settings
memory = open_memory(load_settings(environ={}, env_file=None, data_dir=Path(sys.argv[1])))
live = [HumanMessage(f"turn {i}", id=f"m{i}") for i in range(30)]
memory.settle(live, thread="t")
print("archived", flush=True)
os.kill(os.getpid(), signal.SIGKILL)  # before any checkpoint is written
"""


def test_kill_between_archive_and_checkpoint_loses_and_doubles_nothing(
    make_memory: MakeMemory, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    memory = make_memory()
    # the state still has all messages, because no checkpoint was written: the turn runs again
    live: list[BaseMessage] = [HumanMessage(f"turn {i}", id=f"m{i}") for i in range(31)]
    memory.settle(live, thread="t")
    ids = [row["data"]["id"] for row in memory.archive.export("default", "t")]
    assert ids == [f"m{i}" for i in range(31)]
    assert os.path.getsize(tmp_path / "archive.sqlite") > 0


def test_a_number_that_is_none_finds_nothing(make_memory: MakeMemory) -> None:
    memory = make_memory()
    memory.settle([HumanMessage("the zebra is striped", id="1")], thread="t")
    for query in ("#\u00b2", f"#{'9' * 30}", f"#{'9' * 5_000}"):
        assert "zebra" not in memory.search(query, thread="t")
