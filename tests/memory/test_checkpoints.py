"""Checkpoints in a file: pruned sync and async alike, and opened after an upgrade."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from allotrope.exceptions import StoreError
from allotrope.memory.checkpoints.opening import open_async_checkpoints, open_checkpoints
from allotrope.settings import Settings, load_settings

CONFIG: Any = {"configurable": {"thread_id": "t"}}
TURNS = 14
"""Three checkpoints each: twice the twenty after which the oldest go."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        environ={}, env_file=None, data_dir=tmp_path, memory={"keep_checkpoints": 5}
    )


def graph(saver: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("Yes.")]})
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def asked(number: int) -> dict[str, Any]:
    return {"messages": [HumanMessage(f"Question {number}")]}


def rows(settings: Settings) -> tuple[int, int]:
    assert settings.data_dir is not None
    connection = sqlite3.connect(settings.data_dir / "checkpoints.sqlite")
    try:
        [(kept,)] = connection.execute("SELECT count(*) FROM checkpoints").fetchall()
        [(orphans,)] = connection.execute(
            "SELECT count(*) FROM writes WHERE checkpoint_id NOT IN"
            " (SELECT checkpoint_id FROM checkpoints)"
        ).fetchall()
    finally:
        connection.close()
    return kept, orphans


def test_the_oldest_go_and_nothing_is_lost(settings: Settings) -> None:
    with open_checkpoints(settings) as saver:
        for number in range(TURNS):
            state = graph(saver).invoke(asked(number), CONFIG)
    kept, orphans = rows(settings)
    assert 5 <= kept < 25
    assert orphans == 0
    assert len(state["messages"]) == 2 * TURNS


def test_the_same_async(settings: Settings) -> None:
    async def play() -> int:
        async with open_async_checkpoints(settings) as saver:
            for number in range(TURNS):
                state = await graph(saver).ainvoke(asked(number), CONFIG)
        return len(state["messages"])

    assert asyncio.run(play()) == 2 * TURNS
    kept, orphans = rows(settings)
    assert 5 <= kept < 25
    assert orphans == 0


def test_a_file_without_our_version_opens_and_goes_on(settings: Settings) -> None:
    assert settings.data_dir is not None
    path = settings.data_dir / "checkpoints.sqlite"
    connection = sqlite3.connect(path, check_same_thread=False)
    graph(SqliteSaver(connection)).invoke(asked(1), CONFIG)
    connection.close()
    with open_checkpoints(settings) as saver:
        assert len(graph(saver).invoke(asked(2), CONFIG)["messages"]) == 4


def test_a_newer_file_is_refused_and_left_alone(settings: Settings) -> None:
    with open_checkpoints(settings):
        pass
    assert settings.data_dir is not None
    connection = sqlite3.connect(settings.data_dir / "checkpoints.sqlite")
    connection.execute("UPDATE allotrope_schema SET version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="newer Allotrope"), open_checkpoints(settings):
        pass

    async def also() -> None:
        async with open_async_checkpoints(settings):
            pass

    with pytest.raises(StoreError, match="newer Allotrope"):
        asyncio.run(also())
