"""What a turn begins with, by what its thread was left with."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import AllotropeError, InputError, ThreadMovedOnError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig
    from langgraph.types import StateSnapshot

    from allotrope.agents.reply import TurnMeter
    from allotrope.graphs.context import RunContext


@dataclass(frozen=True)
class TurnStart:
    """What a turn begins with.

    Attributes:
        input: Of the graph; None goes on where the thread stood.
        config: Of the run.
        context: Of the run.
        meter: Counts what it spends.
        thread_id: The conversation.
        run_id: This turn.
        at: `time.perf_counter()` when it was asked for.
    """

    input: Any
    config: "RunnableConfig"
    context: "RunContext"
    meter: "TurnMeter"
    thread_id: str
    run_id: str
    at: float


def going_on(turn: TurnStart, found: "StateSnapshot") -> TurnStart:
    """The turn in a thread as it stands.

    A question that a thread was left with isn't lost: the same text once more (a client that got no
    answer asks again) goes on where that turn stood, and another one is answered together with it.

    Args:
        turn: Its input as asked: earlier messages, which only a thread without any needs, and the
            question.
        found: The thread's state.

    Raises:
        InputError: There is no text, and nothing in the thread waits for an answer.
    """
    # written down, but its first step isn't: LangGraph calls no node next
    unread = found.metadata is not None and found.metadata.get("source") == "input"
    if turn.input is None:
        if not found.next and not unread:
            raise InputError(
                f"Nothing in the thread {turn.thread_id!r} waits for an answer.",
                hint="Ask with --thread instead.",
            )
        return turn
    asked = turn.input["messages"][-1]
    if found.interrupts:
        from langgraph.types import Command

        return replace(turn, input=Command(resume=asked.text))
    kept: list[BaseMessage] = found.values.get("messages", [])
    if not kept:
        return turn
    last = next((one.text for one in reversed(kept) if one.type == "human"), None)
    if (found.next or unread) and last == asked.text:
        return replace(turn, input=None)
    lost = _lost(found) if unread else []
    return replace(turn, input={"messages": [*lost, asked]})


def check_ends_so(found: "StateSnapshot", turn: TurnStart) -> None:
    """Refuses a turn that a client's history led to, in a thread that doesn't end with it.

    Args:
        found: The thread's state.
        turn: Its input as asked: the client's history, and the question.

    Raises:
        ThreadMovedOnError: Something else was said there.
    """
    *before, asked = turn.input["messages"]
    kept: list[BaseMessage] = found.values.get("messages", [])
    start = going_on(turn, found)
    waits = start.input is None or bool(found.interrupts and before)
    ends_so = bool(kept and before) and kept[-1].text.strip() == before[-1].text.strip()
    if not waits and not ends_so and (kept or _lost(found)):
        raise ThreadMovedOnError(f"The thread of the question {asked.text[:40]!r} went on.")


@contextlib.contextmanager
def within_the_limit(turn: TurnStart) -> Iterator[None]:
    """Says it in a sentence where a graph doesn't end by itself; ours answer before the limit.

    Args:
        turn: Which turn.

    Raises:
        AllotropeError: The graph took as many steps as it may.
    """
    from langgraph.errors import GraphRecursionError

    try:
        yield
    except GraphRecursionError as exc:
        raise AllotropeError(
            f"The agent came to no answer within {turn.config.get('recursion_limit')} steps.",
            hint="What it did so far is kept in the thread. Ask for less at a time.",
        ) from exc


def _lost(found: "StateSnapshot") -> "list[BaseMessage]":
    """The messages that a new input would take the place of."""
    return [
        message
        for task in found.tasks
        if task.name == "__start__" and isinstance(task.result, dict)
        for message in task.result.get("messages", [])
    ]
