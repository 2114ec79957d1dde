"""PostgreSQL restarts, cuts connections, is set up by six at once: nothing is lost, all is said."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from sqlalchemy.exc import OperationalError
from tests.conftest import PostgresServer

from allotrope import build_agent
from allotrope.exceptions import PromptError, StoreError
from allotrope.memory.checkpoints.opening import open_async_checkpoints, open_checkpoints
from allotrope.memory.opening import open_archive
from allotrope.prompts.stores.database import DatabaseSource
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger.ledger import Ledger

pytestmark = pytest.mark.postgres

AT = datetime(2026, 5, 8, 12, tzinfo=UTC)


def settings_of(url: str, folder: Path) -> Settings:
    return load_settings(environ={}, env_file=None, data_dir=folder, checkpoint_url=url)


def cut_all(url: str) -> None:
    """Ends every connection but our own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


def _graph(saver: Any, between: Callable[[], None] = lambda: None) -> Any:
    def answer(state: MessagesState) -> dict[str, Any]:
        between()
        return {"messages": [AIMessage("Yes.")]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def restarting(server: PostgresServer) -> Callable[[], None]:
    """Stops the server now and starts it again a second later."""

    def start() -> None:
        time.sleep(1)
        server.start()

    def restart() -> None:
        server.stop()
        threading.Thread(target=start).start()

    return restart


@pytest.mark.parametrize("trouble", ["cut", "restart"])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_turn_goes_on_when_the_server_went_away_in_its_middle(
    own_postgres: PostgresServer, tmp_path: Path, trouble: str, way: str
) -> None:
    settings = settings_of(own_postgres.url, tmp_path)
    config: Any = {"configurable": {"thread_id": "t"}}
    between = (
        restarting(own_postgres) if trouble == "restart" else lambda: cut_all(own_postgres.url)
    )

    async def play() -> Any:
        async with open_async_checkpoints(settings) as saver:
            await _graph(saver).ainvoke({"messages": [HumanMessage("One?")]}, config)
            return await _graph(saver, between).ainvoke(
                {"messages": [HumanMessage("Two?")]}, config, durability="sync"
            )

    if way == "async":
        state = asyncio.run(play())
    else:
        with open_checkpoints(settings) as saver:
            _graph(saver).invoke({"messages": [HumanMessage("One?")]}, config)
            state = _graph(saver, between).invoke(
                {"messages": [HumanMessage("Two?")]}, config, durability="sync"
            )
    assert [m.text for m in state["messages"]] == ["One?", "Yes.", "Two?", "Yes."]
    with open_checkpoints(settings) as saver:
        kept = _graph(saver).get_state(config)
        assert len(kept.values["messages"]) == 4
        assert not kept.next


@pytest.mark.parametrize("trouble", ["cut", "restart"])
def test_the_archive_goes_on(own_postgres: PostgresServer, tmp_path: Path, trouble: str) -> None:
    archive = open_archive(settings_of(own_postgres.url, tmp_path))
    try:
        archive.add("default", "t", [HumanMessage("Before.", id="1")], at=AT)
        if trouble == "cut":
            cut_all(own_postgres.url)
        else:
            restarting(own_postgres)()
        assert len(archive.export("default", "t")) == 1
        cut_all(own_postgres.url)
        assert len(archive.add("default", "t", [HumanMessage("After.", id="2")], at=AT)) == 1
        assert [row["data"]["id"] for row in archive.export("default", "t")] == ["1", "2"]
    finally:
        archive.close()


def test_a_transaction_that_is_cut_is_done_again_once_and_whole(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    archive = open_archive(settings_of(own_postgres.url, tmp_path))
    cuts = iter([True])

    def count(message: Any) -> int:
        if next(cuts, False):  # the rows are in, the transaction isn't ended
            cut_all(own_postgres.url)
        return 7

    try:
        messages = [HumanMessage("One.", id="1"), HumanMessage("Two.", id="2")]
        assert len(archive.add("default", "t", messages, at=AT, count=count)) == 2
        facts = archive.thread("default", "t")
        assert facts is not None
        assert (facts.messages, facts.tokens) == (2, 14)
    finally:
        archive.close()


def test_one_that_stays_away_is_a_sentence_and_is_not_waited_for_twice(
    own_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allotrope.stores.postgres.connections.RECOVERY_S", 1.0)
    archive = open_archive(settings_of(own_postgres.url, tmp_path))
    try:
        archive.threads("default")
        own_postgres.stop()
        with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{own_postgres.port}"):
            archive.threads("default")
        pauses: list[float] = []
        monkeypatch.setattr("allotrope.stores.postgres.connections.time.sleep", pauses.append)
        with pytest.raises(StoreError, match="nothing listens there"):
            archive.threads("default")
        assert pauses == []
        own_postgres.start()
        assert archive.threads("default") == []
    finally:
        archive.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent server counts as down after half a second, and is waited for a second."""
    monkeypatch.setattr("allotrope.stores.postgres.silence.SILENCE_S", 0.5)
    monkeypatch.setattr("allotrope.stores.postgres.connections.RECOVERY_S", 1.0)
    monkeypatch.setattr("allotrope.stores.postgres.connections.CONNECT_TIMEOUT_S", 2)


@pytest.mark.usefixtures("impatient")
def test_threads_in_a_server_that_stands_still_are_told_as_down(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    settings = settings_of(own_postgres.url, tmp_path)
    config: Any = {"configurable": {"thread_id": "t"}}
    with open_checkpoints(settings) as saver:
        graph = _graph(saver)
        graph.invoke({"messages": [HumanMessage("One?")]}, config)
        own_postgres.pause()
        try:
            with pytest.raises(
                StoreError, match=r"threads in PostgreSQL .*: the host doesn't answer"
            ):
                graph.get_state(config)
        finally:
            own_postgres.go_on()
        state = graph.invoke({"messages": [HumanMessage("Two?")]}, config)
        assert len(state["messages"]) == 4


@pytest.mark.usefixtures("impatient")
async def test_twenty_that_ask_a_server_that_stands_still_all_hear_why(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    settings = settings_of(own_postgres.url, tmp_path)

    async def ask(graph: Any, number: int) -> Any:
        config: Any = {"configurable": {"thread_id": f"t{number}"}}
        return await graph.ainvoke({"messages": [HumanMessage("One?")]}, config)

    async with open_async_checkpoints(settings) as saver:
        graph = _graph(saver)
        await asyncio.gather(*(ask(graph, number) for number in range(20)))
        own_postgres.pause()
        try:
            asked = (ask(graph, number) for number in range(20))
            told = await asyncio.gather(*asked, return_exceptions=True)
        finally:
            own_postgres.go_on()
        assert {type(one) for one in told} == {StoreError}
        assert {"doesn't answer" in str(one) for one in told} == {True}, told
        assert len((await ask(graph, 7))["messages"]) == 4


@pytest.mark.usefixtures("impatient")
def test_the_archive_in_a_server_that_stands_still_is_told_as_down(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    archive = open_archive(settings_of(own_postgres.url, tmp_path))
    try:
        archive.add("default", "t", [HumanMessage("Before.", id="1")], at=AT)
        own_postgres.pause()
        try:
            with pytest.raises(
                StoreError, match=r"archive in PostgreSQL .* the host doesn't answer"
            ):
                archive.add("default", "t", [HumanMessage("During.", id="2")], at=AT)
        finally:
            own_postgres.go_on()
        archive.add("default", "t", [HumanMessage("After.", id="3")], at=AT)
        assert [row["data"]["id"] for row in archive.export("default", "t")] == ["1", "3"]
    finally:
        archive.close()


@pytest.mark.usefixtures("impatient")
def test_ledger_and_prompts_in_a_server_that_stands_still_fail(
    own_postgres: PostgresServer,
) -> None:
    prompts = DatabaseSource(own_postgres.url)
    prompts.read(None)
    with Ledger(own_postgres.url.replace("://", "+psycopg://", 1)) as ledger:
        own_postgres.pause()
        try:
            with pytest.raises(OperationalError, match="timeout expired"):
                ledger.record_feedback("run", 1.0)
            with pytest.raises(PromptError, match="timeout expired"):
                prompts.read(None)
        finally:
            own_postgres.go_on()
        ledger.record_feedback("run", 1.0)
        prompts.read(None)


def test_two_that_start_at_once_on_an_empty_database_both_open(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    def start(number: int) -> int:
        settings = settings_of(own_postgres.url, tmp_path)
        together.wait()
        with open_checkpoints(settings) as saver:
            _graph(saver).invoke(
                {"messages": [HumanMessage("Hi.")]}, {"configurable": {"thread_id": f"t{number}"}}
            )
        archive = open_archive(settings)
        try:
            return len(archive.add("default", f"t{number}", [HumanMessage("Hi.", id="1")], at=AT))
        finally:
            archive.close()

    together = threading.Barrier(6)
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(start, range(6))) == [1] * 6


async def test_many_conversations_at_once_wait_for_no_other(
    postgres_url: str, tmp_path: Path
) -> None:
    settings = settings_of(postgres_url, tmp_path)
    run = uuid.uuid4().hex
    async with open_async_checkpoints(settings) as saver:
        graph = _graph(saver)

        async def talk(number: int) -> int:
            config: Any = {"configurable": {"thread_id": f"{run}-{number}"}}
            for turn in range(3):
                state = await graph.ainvoke({"messages": [HumanMessage(f"{turn}?")]}, config)
            return len(state["messages"])

        assert await asyncio.gather(*map(talk, range(20))) == [6] * 20


async def test_twenty_conversations_outlive_a_restart(
    own_postgres: PostgresServer, tmp_path: Path, simulator: ProviderSimulator
) -> None:
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path,
        checkpoint_url=own_postgres.url,
        openai={"api_key": "sk-x", "base_url": simulator.openai_url, "model": "o3"},
        ollama={"enabled": False},
        embedded={"enabled": False},
        redis={"embedded": False},
    )
    turns = 4
    async with build_agent("assistant", settings=settings) as agent:
        await agent.aask("Hello?", thread_id="warm")
        asked = 0

        async def talk(number: int) -> list[str]:
            nonlocal asked
            answers = []
            for turn in range(turns):
                asked += 1
                if asked == 30:  # some turns have begun, some haven't
                    await asyncio.to_thread(restarting(own_postgres))
                reply = await agent.aask(f"Number {number}, turn {turn}?", thread_id=f"t{number}")
                answers.append(reply.answer)
            return answers

        everything = await asyncio.gather(*map(talk, range(20)))
        graph = await agent.agraph()
        for number, answers in enumerate(everything):
            state = await graph.aget_state(agent.thread_config(f"t{number}"))
            texts = [m.text for m in state.values["messages"]]
            questions = [f"Number {number}, turn {turn}?" for turn in range(turns)]
            assert texts == [one for pair in zip(questions, answers, strict=True) for one in pair]
