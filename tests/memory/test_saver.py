"""The saver for async calls: LangGraph's own conformance suite, order, groups, and failures."""

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate

from allotrope.exceptions import StoreError
from allotrope.memory.checkpoints.sqlite_saver import AsyncPrunedSqliteSaver


def opened(path: Path | str) -> AsyncPrunedSqliteSaver:
    return AsyncPrunedSqliteSaver(sqlite3.connect(path, check_same_thread=False), keep=5)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name, "checkpoint_ns": ""}}


async def test_it_passes_the_conformance_suite_of_langgraph(tmp_path: Path) -> None:
    @checkpointer_test(name="allotrope")
    async def saver() -> AsyncIterator[AsyncPrunedSqliteSaver]:
        made = AsyncPrunedSqliteSaver(
            sqlite3.connect(tmp_path / f"{uuid.uuid4()}.sqlite", check_same_thread=False),
            keep=1_000,
        )
        try:
            yield made
        finally:
            await made.aclose()

    report = await validate(saver)
    assert report.passed_all_base(), report.to_dict()


async def test_what_is_asked_together_is_written_in_order_and_in_few_transactions(
    tmp_path: Path,
) -> None:
    saver = opened(tmp_path / "c.sqlite")
    commits: list[str] = []
    saver.setup()
    saver.conn.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    saved = await asyncio.gather(
        *(saver.aput(thread(f"t{i}"), empty_checkpoint(), {}, {}) for i in range(50))
    )
    assert len(saved) == 50
    assert 1 <= len(commits) <= 3
    found = [item async for item in saver.alist(None)]
    assert {item.config["configurable"]["thread_id"] for item in found} == {
        f"t{i}" for i in range(50)
    }
    await saver.aclose()


async def test_one_that_fails_in_a_group_fails_alone(tmp_path: Path) -> None:
    saver = opened(tmp_path / "c.sqlite")
    bad: Any = {"configurable": {"checkpoint_ns": ""}}  # no thread
    results = await asyncio.gather(
        saver.aput(thread("a"), empty_checkpoint(), {}, {}),
        saver.aput(bad, empty_checkpoint(), {}, {}),
        saver.aput(thread("b"), empty_checkpoint(), {}, {}),
        return_exceptions=True,
    )
    assert isinstance(results[1], KeyError)
    assert await saver.aget_tuple(thread("a")) is not None
    assert await saver.aget_tuple(thread("b")) is not None
    await saver.aclose()


async def test_a_write_is_committed_when_its_call_returns(tmp_path: Path) -> None:
    saver = opened(tmp_path / "c.sqlite")
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"messages": [HumanMessage("kept")]}
    await asyncio.gather(
        saver.aput(thread("a"), checkpoint, {}, {"messages": "1"}),
        saver.aput(thread("b"), checkpoint, {}, {"messages": "1"}),
    )
    other = sqlite3.connect(tmp_path / "c.sqlite")
    assert other.execute("SELECT count(*) FROM checkpoints").fetchone() == (2,)
    other.close()
    await saver.aclose()


def test_it_works_in_one_event_loop_after_another(tmp_path: Path) -> None:
    saver = opened(tmp_path / "c.sqlite")
    asyncio.run(_put(saver, "a"))
    asyncio.run(_put(saver, "b"))
    assert saver.get_tuple(thread("a")) is not None
    assert saver.get_tuple(thread("b")) is not None
    asyncio.run(saver.aclose())


async def _put(saver: AsyncPrunedSqliteSaver, name: str) -> None:
    await saver.aput(thread(name), empty_checkpoint(), {}, {})


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_cancelled_call_is_written_and_disturbs_no_other(
    tmp_path: Path, cancelled: bool
) -> None:
    saver = opened(tmp_path / "c.sqlite")
    first = asyncio.create_task(_put(saver, "a"))
    second = asyncio.create_task(_put(saver, "b"))
    await asyncio.sleep(0)
    if cancelled:
        first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert await saver.aget_tuple(thread("a")) is not None
    assert await saver.aget_tuple(thread("b")) is not None
    await saver.aclose()


async def test_closing_writes_what_was_asked_for_and_refuses_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    saver = opened(path)
    saver.setup()
    left = [
        asyncio.create_task(saver.aput(thread(f"t{i}"), empty_checkpoint(), {}, {}))
        for i in range(3)
    ]  # as a run does that was cancelled
    await saver.aclose()
    assert all(task.done() and task.exception() is None for task in left)
    with pytest.raises(StoreError, match="closed"):
        await saver.aput(thread("late"), empty_checkpoint(), {}, {})
    with sqlite3.connect(path) as again:
        assert again.execute("SELECT count(*) FROM checkpoints").fetchone() == (3,)
    again.close()


async def test_who_waits_for_a_write_hears_that_the_database_is_gone(tmp_path: Path) -> None:
    """Taking the group back fails too then; nobody may wait for ever on that."""
    saver = opened(tmp_path / "c.sqlite")
    saver.setup()
    saver.conn.close()
    writes = [
        asyncio.create_task(saver.aput(thread(f"t{i}"), empty_checkpoint(), {}, {}))
        for i in range(3)
    ]
    _, waiting = await asyncio.wait(writes, timeout=20)
    for write in waiting:
        write.cancel()
    assert len(waiting) == 0
    assert {type(write.exception()) for write in writes} == {sqlite3.ProgrammingError}
