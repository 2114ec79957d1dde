"""Damaged files of the memory: the turn goes on, what can be read stays, and it is said once."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from allotrope import build_agent
from allotrope.memory.checkpoints.opening import open_async_checkpoints, open_checkpoints
from allotrope.memory.opening import open_archive, open_facts, open_memory
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator

PAGE = 4096


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environ={}, env_file=None, data_dir=tmp_path)


def damage(path: Path, *, pages: range | None = None) -> None:
    """Overwrites the heads of pages (by default all but the first four) in a closed file."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray(path.read_bytes())
    for page in pages or range(4, len(data) // PAGE):
        data[page * PAGE : page * PAGE + 200] = b"\xde\xad" * 100
    path.write_bytes(bytes(data))
    for companion in path.parent.glob(f"{path.name}-*"):
        companion.unlink()


def pages_of(path: Path, table: str) -> list[int]:
    """The leaf pages of a table, counted from 0."""
    connection = sqlite3.connect(path)
    try:
        found = connection.execute(
            "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (table,)
        ).fetchall()
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no dbstat")
    finally:
        connection.close()
    return [page - 1 for (page,) in found]


def moved(folder: Path, name: str) -> list[Path]:
    return [p for p in folder.glob(f"{name}.damaged-*") if not p.name.endswith(("-wal", "-shm"))]


def spoken(count: int) -> list[HumanMessage]:
    return [HumanMessage(f"{i} {'word ' * 200}", id=f"a{i}") for i in range(count)]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "was damaged" in r.getMessage()]


def test_a_turn_survives_a_damaged_archive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ProviderSimulator() as simulator:
        settings = load_settings(
            environ={},
            env_file=None,
            data_dir=tmp_path,
            openai={"api_key": "sk-x", "base_url": simulator.openai_url, "model": "o3"},
            ollama={"enabled": False},
            embedded={"enabled": False},
            redis={"embedded": False},
        )
        with build_agent("assistant", settings=settings) as agent:
            for number in range(12):
                agent.ask(f"Number {number}: apples, pears and {'plums ' * 60}", thread_id="t")
        damage(tmp_path / "archive.sqlite")
        with build_agent("assistant", settings=settings) as agent:
            assert agent.ask("And what about plums?", thread_id="t").answer
    assert len(moved(tmp_path, "archive.sqlite")) == 1
    assert len(said(caplog)) == 1
    archive = open_archive(settings)
    try:  # what the thread still showed is in the archive again
        assert len(archive.export("default", "t")) >= 26
    finally:
        archive.close()


def _filled(settings: Settings, messages: int) -> None:
    memory = open_memory(settings)
    live = [
        HumanMessage(f"Fact {i}: the lighthouse number {i} is {'very ' * 40}tall.", id=f"m{i}")
        for i in range(messages)
    ]
    memory.after_turn(live, thread="t")
    memory.close(timeout_s=1)


def test_what_can_be_read_of_an_archive_is_taken_over(settings: Settings, tmp_path: Path) -> None:
    _filled(settings, 200)
    path = tmp_path / "archive.sqlite"
    broken = pages_of(path, "archive_messages")
    damage(path, pages=range(broken[len(broken) // 2], broken[len(broken) // 2] + 1))
    archive = open_archive(settings)
    try:
        kept = archive.export("default", "t")
        assert 150 < len(kept) < 200
        ids = {row["data"]["id"] for row in kept}
        assert {"m0", "m199"} <= ids
        assert archive.search("default", "t", "lighthouse number 199")
        facts = archive.thread("default", "t")
        assert facts is not None
        assert facts.messages == 200
    finally:
        archive.close()


def test_what_was_lost_is_archived_again_while_it_is_live(
    settings: Settings, tmp_path: Path
) -> None:
    live = [HumanMessage(f"Number {i} {'word ' * 100}", id=f"m{i}") for i in range(30)]
    memory = open_memory(settings)
    memory.after_turn(live, thread="t")
    damage(tmp_path / "archive.sqlite")  # under an open connection
    later = [*live, HumanMessage("One more.", id="m30")]
    gone = memory.settle(later, thread="t")
    archived = {row["data"]["id"] for row in memory.archive.export("default", "t")}
    assert archived >= {message.id for message in gone}
    assert len(archived) == 31
    memory.close(timeout_s=1)


def test_a_file_that_is_no_database_is_moved_aside(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "archive.sqlite").write_text("This is a letter.\n" * 200)
    memory = open_memory(settings)
    memory.after_turn([HumanMessage("Hello.", id="a")], thread="t")
    assert len(memory.archive.export("default", "t")) == 1
    memory.close(timeout_s=1)
    [aside] = moved(tmp_path, "archive.sqlite")
    assert aside.read_text().startswith("This is a letter.")
    assert len(said(caplog)) == 1


def test_another_process_that_has_the_damaged_file_open_goes_to_the_new_one(
    settings: Settings, tmp_path: Path
) -> None:
    first, second = open_memory(settings), open_memory(settings)
    first.after_turn(
        [HumanMessage(f"{i} {'word ' * 200}", id=f"a{i}") for i in range(20)], thread="t"
    )
    assert len(second.archive.export("default", "t")) == 20
    damage(tmp_path / "archive.sqlite")
    first.after_turn([HumanMessage("New.", id="new")], thread="t")
    second.after_turn([HumanMessage("Newer.", id="newer")], thread="t")
    assert len(moved(tmp_path, "archive.sqlite")) == 1
    for memory in (first, second):
        ids = {row["data"]["id"] for row in memory.archive.export("default", "t")}
        assert ids >= {"new", "newer"}
        memory.close(timeout_s=1)


def _graph(saver: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("Yes.")]})
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_threads_go_on_with_what_is_left_of_their_file(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    def turn(number: int, text: str) -> tuple[Any, Any]:
        return {"messages": [HumanMessage(text)]}, {"configurable": {"thread_id": f"t{number}"}}

    with open_checkpoints(settings) as saver:
        for number in range(30):
            _graph(saver).invoke(*turn(number, f"{number} {'w ' * 500}"))
    path = tmp_path / "checkpoints.sqlite"
    broken = pages_of(path, "checkpoints")
    damage(path, pages=range(broken[10], broken[10] + 1))

    async def play() -> list[Any]:
        async with open_async_checkpoints(settings) as saver:
            return [await _graph(saver).ainvoke(*turn(number, "More?")) for number in range(30)]

    if way == "async":
        states = asyncio.run(play())
    else:
        with open_checkpoints(settings) as saver:
            states = [_graph(saver).invoke(*turn(number, "More?")) for number in range(30)]
    lengths = [len(state["messages"]) for state in states]
    assert lengths.count(4) > 20
    assert set(lengths) <= {2, 3, 4}  # one may have lost its newest checkpoint alone
    assert len(moved(tmp_path, "checkpoints.sqlite")) == 1
    [sentence] = said(caplog)
    assert "archive" in sentence


def test_facts_about_users_go_on(settings: Settings, tmp_path: Path) -> None:
    facts = open_facts(settings)
    facts.remember("My name is Ada.", tenant="default", user="u")
    facts.close()
    (tmp_path / "facts.sqlite").write_bytes(b"no database at all" * 500)
    facts.remember("My boat is blue.", tenant="default", user="u")
    assert list(facts.known(tenant="default", user="u").values()) == ["My boat is blue."]
    facts.close()
    assert len(moved(tmp_path, "facts.sqlite")) == 1


def test_a_full_disk_is_no_damage(settings: Settings, tmp_path: Path) -> None:
    archive = open_archive(settings)
    archive.threads("default")
    archive.database.run("PRAGMA max_page_count = 30")
    memory = open_memory(settings, archive=archive)
    memory.after_turn(
        [HumanMessage(f"{i} {'word ' * 900}", id=f"a{i}") for i in range(60)], thread="t"
    )
    memory.close(timeout_s=1)
    assert moved(tmp_path, "archive.sqlite") == []
