"""A thread has one turn at a time, whatever the door: tasks, threads, processes, machines."""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from tests.conftest import MakeServer, let_go

from allotrope import Settings, build_agent, load_settings
from allotrope.agents import registry
from allotrope.agents.agent import Agent
from allotrope.agents.spec import AgentSpec
from allotrope.agents.turns.leases import Leases, RedisLeases
from allotrope.agents.turns.thread_locks import ThreadLocks
from allotrope.exceptions import AllotropeError, StoreError, ThreadBusyError
from allotrope.memory.checkpoints.opening import open_checkpoints
from allotrope.operations.deletion import delete_thread
from allotrope.testing import ProviderSimulator
from allotrope.testing import Reply as Said


@pytest.fixture
def agent(simulator_settings: Settings) -> Iterator[Agent]:
    with build_agent(settings=simulator_settings) as made:
        yield made


def told(agent: Agent, thread: str = "t") -> list[str]:
    return [message.text for message in agent.history(thread)]


def whole(asked: list[str], said: list[str]) -> bool:
    """Whether each question stands there once with its answer behind it."""
    pairs = list(zip(said[::2], said[1::2], strict=True))
    return sorted(pairs) == sorted((one, f"Echo: {one}") for one in asked)


def test_turns_of_one_event_loop_run_one_after_the_other(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    asked = [f"This is question {n}." for n in range(4)]

    async def all_at_once() -> None:
        async with build_agent(settings=simulator_settings) as agent:
            await asyncio.gather(*(agent.aask(one, thread_id="t") for one in asked))

    asyncio.run(all_at_once())
    with build_agent(settings=simulator_settings) as agent:
        assert told(agent) == [text for one in asked for text in (one, f"Echo: {one}")]


def test_turns_of_many_threads_and_two_agents_run_one_after_the_other(
    agent: Agent, simulator_settings: Settings
) -> None:
    asked = [f"This is question {n}." for n in range(6)]
    with (
        build_agent(settings=simulator_settings) as other,
        ThreadPoolExecutor(6) as pool,
    ):
        list(pool.map(lambda n: (agent, other)[n % 2].ask(asked[n], thread_id="t"), range(6)))
    assert whole(asked, told(agent))


CHILD = """
import sys
from allotrope import build_agent
with build_agent() as agent:
    thread = sys.argv[2]
    agent.history(thread)
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(3):
        agent.ask(f"Question {n} of {sys.argv[1]}.", thread_id=thread)
"""


def test_turns_of_two_processes_run_one_after_the_other(
    agent: Agent, simulator_environ: dict[str, str]
) -> None:
    del simulator_environ["REDIS_URL"]
    environ = {**os.environ, **simulator_environ, "ALLOTROPE_REDIS__EMBEDDED": "false"}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, name, "t"], env=environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for name in "AB"
    ]  # fmt: skip
    let_go(children)
    assert whole([f"Question {n} of {name}." for n in range(3) for name in "AB"], told(agent))


def test_who_waits_too_long_is_told_so_and_leaves_nothing(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    short = ThreadLocks(simulator_settings, wait_s=0.05)
    simulator.script([Said(text="slow", delay_s=1.0), Said(text="later")])

    async def turns() -> None:
        async with build_agent(settings=simulator_settings) as agent:
            impatient = Agent(agent.spec, simulator_settings, locks=short)
            first = asyncio.create_task(agent.aask("Slow?", thread_id="t"))
            while not simulator.requests:  # noqa: ASYNC110 - the provider's, in a thread
                await asyncio.sleep(0.01)
            with pytest.raises(ThreadBusyError, match="'t' is answering another message"):
                await impatient.aask("Quick?", thread_id="t")
            assert (await impatient.aask("Elsewhere?", thread_id="u")).answer == "later"
            await first
            state = await (await agent.agraph()).aget_state(agent.thread_config("t"))
            assert [message.text for message in state.values["messages"]] == ["Slow?", "slow"]
            await impatient.aclose()

    asyncio.run(turns())
    short.close()


async def test_a_waiting_turn_that_is_cancelled_lets_the_next_one_in(
    simulator_settings: Settings,
) -> None:
    locks = ThreadLocks(simulator_settings, wait_s=30)
    entered: list[str] = []

    async def enter(name: str) -> None:
        async with locks.turn("default", "t"):
            entered.append(name)

    async with locks.turn("default", "t"):
        waiting = [asyncio.create_task(enter(name)) for name in "abc"]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        await asyncio.sleep(0.01)
        assert not entered
    await asyncio.gather(*waiting, return_exceptions=True)
    assert entered == ["b", "c"]
    async with locks.turn("other", "t"), locks.turn("default", "t"):
        pass  # nothing was left behind; another tenant's thread is another one
    locks.close()


@pytest.mark.postgres
def test_turns_of_two_machines_that_share_a_postgres_run_one_after_the_other(
    postgres_url: str, simulator_environ: dict[str, str], tmp_path: Path
) -> None:
    del simulator_environ["REDIS_URL"]
    thread = uuid.uuid4().hex
    shared = {
        **simulator_environ,
        "ALLOTROPE_REDIS__EMBEDDED": "false",
        "ALLOTROPE_CHECKPOINT_URL": postgres_url,
    }
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, name, thread], text=True,
            env={**os.environ, **shared, "ALLOTROPE_DATA_DIR": str(tmp_path / name)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for name in "AB"
    ]  # fmt: skip
    let_go(children)
    with build_agent(settings=load_settings(environ=shared, env_file=None)) as agent:
        found = told(agent, thread)
    assert whole([f"Question {n} of {name}." for n in range(3) for name in "AB"], found)


@pytest.fixture(params=["redis", pytest.param("postgres", marks=pytest.mark.postgres)])
def two_machines(
    request: pytest.FixtureRequest, redis_settings: Settings, tmp_path: Path
) -> Iterator[list[ThreadLocks]]:
    """Locks of two data folders that share a Redis, or a PostgreSQL and no Redis."""
    shared: dict[str, Any] = {}
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        redis = redis_settings.redis.model_copy(update={"url": None})
        shared = {"checkpoint_url": SecretStr(url), "redis": redis}
    made = []
    for name in ("one", "two"):
        settings = redis_settings.model_copy(update={**shared, "data_dir": tmp_path / name})
        made.append(ThreadLocks(settings, wait_s=0.3))
    yield made
    for locks in made:
        locks.close()


async def test_machines_that_share_a_store_take_turns(two_machines: list[ThreadLocks]) -> None:
    one, two = two_machines
    async with one.turn("default", "t"):
        with pytest.raises(ThreadBusyError):
            async with two.turn("default", "t"):
                pass
        async with two.turn("default", "u"):
            pass
    async with two.turn("default", "t"):
        pass


async def test_a_lease_outlives_a_blocked_event_loop_but_not_its_process(
    two_machines: list[ThreadLocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allotrope.agents.turns.leases.LEASE_S", 0.3)
    one, two = two_machines
    async with one.turn("default", "t"):
        time.sleep(0.9)  # noqa: ASYNC251 - the loop is blocked for three leases
        with pytest.raises(ThreadBusyError):
            async with two.turn("default", "t"):
                pass
        opened = one._opened
        assert opened is not None
        assert opened.leases is not None
        opened.leases._stop.set()  # the process is gone: nobody renews
        await asyncio.sleep(0.4)
        async with two.turn("default", "t"):
            pass


async def test_turns_end_though_they_are_cancelled_on_a_blocked_event_loop(
    redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allotrope.agents.turns.leases.LEASE_S", 0.15)
    locks, chance = ThreadLocks(redis_settings), random.Random(14)

    async def turn(n: int) -> None:
        async with locks.turn("default", f"t{n}"):
            await asyncio.sleep(chance.uniform(0.1, 0.5))
            time.sleep(chance.uniform(0, 0.05))  # noqa: ASYNC251

    turns = [asyncio.create_task(turn(n)) for n in range(40)]
    await asyncio.sleep(0.2)
    for one in turns[::2]:
        one.cancel()
    time.sleep(0.45)  # noqa: ASYNC251
    done, running = await asyncio.wait(turns, timeout=30)
    assert not running
    assert not [one.exception() for one in done if not one.cancelled() and one.exception()]
    await asyncio.to_thread(locks.close)


async def test_cancelling_a_turn_never_hangs_on_a_redis_that_is_silent(
    make_redis: MakeServer,
) -> None:
    server = make_redis()
    client = redis.Redis.from_url(server.url, socket_timeout=0.2)
    leases = Leases(RedisLeases(client, silent_s=0.05))
    try:
        for n in range(20):
            assert await leases.take(f"k{n}")
            client.client_pause(100)
            giving = asyncio.create_task(leases.give_back(f"k{n}"))
            taking = asyncio.create_task(leases.take(f"l{n}"))
            await asyncio.sleep(0.005 * n)
            giving.cancel()
            taking.cancel()
            await asyncio.wait([giving, taking])
            await asyncio.sleep(0.1)
        client.client_unpause()
    finally:
        await asyncio.to_thread(leases.close)
        client.close()


def test_without_redis_a_turn_goes_on_alone(
    simulator_settings: Settings, make_redis: MakeServer
) -> None:
    gone = load_settings(
        environ={}, env_file=None, data_dir=simulator_settings.data_dir,
        redis={"url": "redis://127.0.0.1:9/0"},
    )  # fmt: skip
    locks = ThreadLocks(gone)

    async def turn() -> None:
        async with locks.turn("default", "t"):
            pass

    asyncio.run(turn())
    locks.close()


def test_a_thread_that_answers_is_deleted_after_its_turn(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    simulator.script([Said(text="slow", delay_s=1.0)])
    with build_agent(settings=simulator_settings) as agent, ThreadPoolExecutor(1) as pool:
        turn = pool.submit(agent.ask, "Slow?", thread_id="t")
        while not simulator.requests:
            assert not turn.done()
            time.sleep(0.01)
        gone = delete_thread(simulator_settings, "t", tenant="default")
        assert turn.done()
        assert turn.result().answer == "slow"
        assert gone.checkpoints
        assert told(agent) == []


def test_a_thread_that_answers_too_long_is_not_deleted(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    own = simulator_settings.agents.model_copy(update={"turn_wait_s": 0.05})
    impatient = simulator_settings.model_copy(update={"agents": own})
    simulator.script([Said(text="slow", delay_s=2.0)])
    with build_agent(settings=simulator_settings) as agent, ThreadPoolExecutor(1) as pool:
        turn = pool.submit(agent.ask, "Slow?", thread_id="t")
        while not simulator.requests:
            assert not turn.done()
            time.sleep(0.01)
        with pytest.raises(ThreadBusyError, match="nothing was deleted"):
            delete_thread(impatient, "t", tenant="default")
        turn.result()
        assert told(agent) == ["Slow?", "slow"]


def test_an_agent_outlives_an_event_loop(simulator_settings: Settings) -> None:
    agent = build_agent(settings=simulator_settings)
    answers = [
        asyncio.run(agent.aask(text, thread_id="t")).answer for text in ("First.", "Second.")
    ]
    assert answers == ["Echo: First.", "Echo: Second."]
    assert told(agent) == ["First.", "Echo: First.", "Second.", "Echo: Second."]
    asyncio.run(agent.aclose())


def test_threads_share_one_store(
    simulator_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import allotrope.memory.checkpoints.opening as checkpoints

    opened = []
    both = {
        name: getattr(checkpoints, name) for name in ("open_checkpoints", "open_async_checkpoints")
    }
    for name, real in both.items():

        def spy(settings: Settings, name: str = name, real=real):  # type: ignore[no-untyped-def]
            opened.append(name)
            time.sleep(0.05)
            return real(settings)

        monkeypatch.setattr(checkpoints, name, spy)
    with build_agent(settings=simulator_settings) as agent:
        threads = [threading.Thread(target=agent.ask, args=(f"Hi {n}.",)) for n in range(4)]
        graphs = [threading.Thread(target=lambda: agent.graph) for _ in range(4)]
        for thread in threads + graphs:
            thread.start()
        for thread in threads + graphs:
            thread.join()
    assert sorted(opened) == ["open_async_checkpoints", "open_checkpoints"]


def test_a_sync_checkpointer_of_langgraph_works(
    simulator_settings: Settings, tmp_path: Path
) -> None:
    from langgraph.checkpoint.sqlite import SqliteSaver

    with (
        SqliteSaver.from_conn_string(str(tmp_path / "own.sqlite")) as saver,
        build_agent(settings=simulator_settings, checkpointer=saver) as agent,
    ):
        agent.ask("First.", thread_id="t")
        agent.ask("Second.", thread_id="t")
        assert told(agent) == ["First.", "Echo: First.", "Second.", "Echo: Second."]


def test_a_graph_that_never_ends_is_told_in_a_sentence(simulator_settings: Settings) -> None:
    from langgraph.graph import START, MessagesState, StateGraph

    class Endless(AgentSpec):
        def build(self, **collaborators: Any) -> Any:
            graph = StateGraph(MessagesState)
            graph.add_node("on", lambda state: {"messages": []})
            graph.add_edge(START, "on")
            graph.add_conditional_edges("on", lambda state: "on", ["on"])
            return graph.compile(checkpointer=collaborators["checkpointer"])

    spec = Endless(name="endless", summary="", graph="", prompt="")
    with Agent(spec, simulator_settings) as agent:
        with pytest.raises(AllotropeError, match="no answer within 50 steps"):
            agent.ask("Go!")
        with pytest.raises(AllotropeError, match="no answer within 50 steps"):
            list(agent.stream("Go!"))


async def test_the_question_is_in_the_store_before_a_model_is_asked(
    simulator_settings: Settings, simulator: ProviderSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allotrope.memory.checkpoints.opening import open_checkpoints
    from allotrope.memory.checkpoints.sqlite_saver import AsyncPrunedSqliteSaver

    fast = AsyncPrunedSqliteSaver._run

    def slow(self: AsyncPrunedSqliteSaver, group: Any) -> Any:
        time.sleep(0.3)  # a busy disk
        return fast(self, group)

    def kept(config: Any) -> list[str]:
        with open_checkpoints(simulator_settings) as saver:
            found = saver.get_tuple(config)
        messages = found.checkpoint["channel_values"].get("messages", []) if found else []
        return [message.text for message in messages]

    async with build_agent(settings=simulator_settings) as agent:
        await agent.aask("All is open and warm then.", thread_id="u")
        monkeypatch.setattr(AsyncPrunedSqliteSaver, "_run", slow)
        simulator.script([Said(text="slow", delay_s=2.0)])
        turn = asyncio.create_task(agent.aask("Keep me.", thread_id="t"))
        while not any("Keep me." in str(one.body) for one in simulator.requests):
            assert not turn.done()
            await asyncio.sleep(0.005)
        assert await asyncio.to_thread(kept, agent.thread_config("t")) == ["Keep me."]
        assert (await turn).answer == "slow"


async def test_what_was_said_is_no_answer_to_a_question_that_came_after(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    """Between the end of a stopped turn and `keep_said` the next turn may have begun, and ended."""
    simulator.answer_with(lambda _: Said("one two three four five six", token_delay_s=0.05))
    async with build_agent(settings=simulator_settings) as agent:

        async def stopped(question: str) -> None:
            async with contextlib.aclosing(agent.astream(question, thread_id="t")) as events:
                async for event in events:
                    if event["type"] == "token":
                        return

        await stopped("First?")
        await stopped("Second?")
        assert await agent.akeep_said("t", "of the first", question="First?") is False
        assert await agent.akeep_said("t", "of the second", question="Second?") is True
        graph = await agent.agraph()
        state = await graph.aget_state(agent.thread_config("t"))
    assert [m.text for m in state.values["messages"]] == ["First?", "Second?", "of the second"]


def test_a_full_disk_is_told_in_a_sentence(simulator_settings: Settings) -> None:
    with open_checkpoints(simulator_settings) as saver:
        saver.conn.execute("PRAGMA max_page_count = 1")  # the file may not grow any more
        with Agent(registry.find("assistant"), simulator_settings, checkpointer=saver) as agent:
            with pytest.raises(StoreError, match="The disk is full: the question"):
                agent.ask("Will this be kept? " * 10_000, thread_id="t")
            saver.conn.execute("PRAGMA max_page_count = 100000")
            for event in (events := agent.stream("Hello?", thread_id="t")):
                if event["type"] == "token":
                    break
            events.close()
            saver.conn.execute("PRAGMA max_page_count = 1")
            with pytest.raises(StoreError, match="The disk is full: the question"):
                agent.keep_said("t", "word " * 50_000)
