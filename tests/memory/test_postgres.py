"""Archive and checkpoints on a real PostgreSQL, by the same cases as on SQLite."""

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from allotrope.exceptions import StoreError
from allotrope.memory.archive.archive import Archive
from allotrope.memory.archive.postgres import PostgresDatabase
from allotrope.memory.checkpoints.opening import open_async_checkpoints, open_checkpoints
from allotrope.memory.opening import open_archive, open_memory
from allotrope.settings import Settings, load_settings

pytestmark = pytest.mark.postgres

AT = datetime(2026, 5, 8, 12, tzinfo=UTC)


@pytest.fixture
def settings(postgres_url: str, tmp_path: Path) -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path,
        checkpoint_url=postgres_url,
        memory={"summary": "extract", "live_messages": 4},
    )


def test_the_latest_questions_come_once_each_and_only_the_tenants(settings: Settings) -> None:
    here, other = uuid.uuid4().hex, uuid.uuid4().hex
    archive, now = open_archive(settings), datetime.now(UTC)
    told = [("t1", "first"), ("t2", "second"), ("t1", "third"), ("t2", "first")]
    for number, (thread, text) in enumerate(told):
        pair = [HumanMessage(text, id=f"q{number}"), AIMessage("no question", id=f"a{number}")]
        archive.add(here, thread, pair, at=now)
    archive.add(other, "t1", [HumanMessage("theirs", id="x")], at=now)
    assert archive.latest_questions(here, 2) == ["first", "third"]
    assert archive.latest_questions(here, 9) == ["first", "third", "second"]
    archive.close()


def test_archive_keeps_finds_and_deletes(settings: Settings) -> None:
    here, other = uuid.uuid4().hex, uuid.uuid4().hex
    archive = open_archive(settings)
    assert isinstance(archive.database, PostgresDatabase)
    try:
        messages = [
            HumanMessage("The boat is called Petronella's \\ wake.", id="1"),
            AIMessage("A fine name.", id="2"),
            HumanMessage("My sister paints lighthouses.\x00", id="3"),
        ]
        assert len(archive.add(here, "t", messages, at=AT)) == 3
        assert archive.add(here, "t", messages, at=AT) == []
        archive.add(other, "t", [HumanMessage("Petronella is a cat.", id="1")], at=AT)
        assert [m.message_id for m in archive.search(here, "t", "Petronella boat")] == ["1"]
        assert archive.search(here, "none", "Petronella") == []
        assert [row["data"]["id"] for row in archive.export(here, "t")] == ["1", "2", "3"]
        assert archive.delete_thread(here, "t") == 3
        assert archive.thread(here, "t") is None
        assert len(archive.search(other, "t", "Petronella")) == 1
    finally:
        archive.close()


def test_a_failed_write_leaves_nothing_behind(settings: Settings) -> None:
    tenant = uuid.uuid4().hex
    archive = open_archive(settings)
    try:
        with pytest.raises(ZeroDivisionError):
            archive.add(
                tenant, "t", [HumanMessage("Half.", id="1")], at=AT, count=lambda message: 1 // 0
            )
        assert archive.thread(tenant, "t") is None
        assert len(archive.add(tenant, "t", [HumanMessage("Whole.", id="1")], at=AT)) == 1
    finally:
        archive.close()


def test_a_lost_connection_is_made_again(settings: Settings) -> None:
    tenant = uuid.uuid4().hex
    archive, other = open_archive(settings), open_archive(settings)
    try:
        archive.add(tenant, "t", [HumanMessage("Kept.", id="1")], at=AT)
        [(pid,)] = archive.database.run("SELECT pg_backend_pid()")
        other.database.run("SELECT pg_terminate_backend(?)", (pid,))
        assert len(archive.export(tenant, "t")) == 1
    finally:
        archive.close()
        other.close()


def test_the_memory_recalls_what_left_the_window(settings: Settings) -> None:
    tenant = uuid.uuid4().hex
    memory = open_memory(settings)
    try:
        live = [HumanMessage("The spare key is under the blue pot.", id="k")]
        for turn in range(12):
            live += [AIMessage(f"Noted {turn}.", id=f"a{turn}")]
            memory.after_turn(live, thread="t", tenant=tenant)
            gone = {m.id for m in memory.settle(live, thread="t", tenant=tenant)}
            live = [m for m in live if m.id not in gone]
            live += [HumanMessage(f"Chatter number {turn} on the weather.", id=f"u{turn}")]
        asked = [*live, HumanMessage("Where is the spare key?", id="q")]
        pack = memory.fit(asked, budget=1_000, thread="t", tenant=tenant)
        assert "k" not in {m.id for m in live}
        assert any("blue pot" in m.text for m in pack.messages)
    finally:
        memory.close(timeout_s=2)


def _graph(saver: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("Yes.")]})
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def test_checkpoints_go_on_sync_and_async(settings: Settings) -> None:
    config: Any = {"configurable": {"thread_id": uuid.uuid4().hex}}
    with open_checkpoints(settings) as saver:
        _graph(saver).invoke({"messages": [HumanMessage("One?")]}, config)

    async def more() -> int:
        async with open_async_checkpoints(settings) as asaver:
            graph = _graph(asaver)
            state = await graph.ainvoke({"messages": [HumanMessage("Two?")]}, config)
            return len(state["messages"])

    assert asyncio.run(more()) == 4
    with open_checkpoints(settings) as saver:
        assert saver.get_tuple(config) is not None
        saver.delete_thread(config["configurable"]["thread_id"])
        assert saver.get_tuple(config) is None


def _kept(settings: Settings, thread: str) -> tuple[int, int, int]:
    """Checkpoints, writes without one, and values of the messages, of a thread."""
    import psycopg

    assert settings.checkpoint_url is not None
    with psycopg.connect(settings.checkpoint_url.get_secret_value()) as connection:
        [kept] = connection.execute(
            "SELECT count(*) FROM checkpoints WHERE thread_id = %s", (thread,)
        ).fetchall()
        [orphans] = connection.execute(
            "SELECT count(*) FROM checkpoint_writes WHERE thread_id = %s AND checkpoint_id NOT IN"
            " (SELECT checkpoint_id FROM checkpoints WHERE thread_id = %s)",
            (thread, thread),
        ).fetchall()
        [values] = connection.execute(
            "SELECT count(*) FROM checkpoint_blobs WHERE thread_id = %s AND channel = 'messages'",
            (thread,),
        ).fetchall()
    return int(kept[0]), int(orphans[0]), int(values[0])


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_oldest_checkpoints_go_and_nothing_is_lost(settings: Settings, way: str) -> None:
    settings = settings.model_copy(
        update={"memory": settings.memory.model_copy(update={"keep_checkpoints": 5})}
    )
    thread = uuid.uuid4().hex
    config: Any = {"configurable": {"thread_id": thread}}
    turns = 14  # three checkpoints each: twice the twenty after which the oldest go

    async def play() -> None:
        async with open_async_checkpoints(settings) as saver:
            for number in range(turns):
                await _graph(saver).ainvoke({"messages": [HumanMessage(f"{number}?")]}, config)

    if way == "async":
        asyncio.run(play())
    with open_checkpoints(settings) as saver:
        for number in range(turns if way == "sync" else 0):
            _graph(saver).invoke({"messages": [HumanMessage(f"{number}?")]}, config)
        kept, orphans, values = _kept(settings, thread)
        assert 5 <= kept < 25
        assert orphans == 0
        assert values < 25, "old versions of the messages go with their checkpoints"
        state = _graph(saver).get_state(config)
        assert len(state.values["messages"]) == 2 * turns
        past = [
            len(s.values["messages"]) for s in _graph(saver).get_state_history(config) if s.values
        ]
        assert len(past) == kept
        assert past[0] == 2 * turns


def test_a_server_that_is_gone_is_one_sentence_without_the_password(tmp_path: Path) -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/x"
    settings = load_settings(environ={}, env_file=None, data_dir=tmp_path, checkpoint_url=url)
    with pytest.raises(StoreError) as caught, open_checkpoints(settings):
        pass
    archive = Archive(PostgresDatabase(url))
    with pytest.raises(StoreError) as also:
        archive.threads("default")
    assert "hunter2" not in f"{caught.value}{also.value}"


def test_a_loop_that_ends_closes_the_threads_in_silence(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Sync calls, and programs that close nothing: the loop ends all that is open at once."""

    async def open_only() -> None:
        for one in opened:  # in which order they are thrown into is by chance
            await one.__aenter__()

    opened = [open_async_checkpoints(settings) for _ in range(6)]
    asyncio.run(open_only())
    assert [record.getMessage() for record in caplog.records] == []
