"""An agent over a JSONL file: several at once, resumed where it stopped, inside a cost cap."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allotrope.agents.agent import Agent
from allotrope.exceptions import AllotropeError, InputError
from allotrope.support.complaints import complaints
from allotrope.support.tasks import ended


class BatchLine(BaseModel):
    """One line of the input.

    Attributes:
        id: Names the item in the output; default: the number of its line.
        text: The question.
        thread: The conversation it goes on with; default: one of its own.
        context: Profile, prompt label and limits of its run.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str = ""
    text: str = Field(min_length=1)
    thread: str | None = None
    context: dict[str, Any] | None = None


@dataclass
class Tally:
    """How a batch stands.

    Attributes:
        total: Items of the input.
        skipped: Items that the output had already.
        answered: Items answered in this run.
        failed: Items that ended in an error.
        left: Items not asked because the cost cap was reached.
        cost_usd: Spent in this run, as far as prices are known.
    """

    total: int = 0
    skipped: int = 0
    answered: int = 0
    failed: int = 0
    left: int = 0
    cost_usd: Decimal = field(default_factory=Decimal)


def read_items(path: Path) -> Iterator[BatchLine]:
    """The items of a JSONL file: objects with `text`, or plain strings; empty lines are skipped.

    Raises:
        InputError: A line can't be used; the message names it. Nothing has been asked yet.
    """
    seen: set[str] = set()
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                item = _item(path, number, line)
                if item.id in seen:
                    raise InputError(f"{path}, line {number}: the id {item.id!r} stands twice.")
                seen.add(item.id)
                yield item
    except OSError as exc:
        raise InputError(f"{path} can't be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path} isn't valid UTF-8 (byte {exc.start}).") from exc


def check_apart(source: Path, out: Path) -> None:
    """Refuses an output that is the input, whatever its spelling: answers would be appended to it.

    Raises:
        InputError: Both are one file.
    """
    try:
        same = source.samefile(out)
    except OSError:  # one of them isn't there (yet)
        same = source.resolve() == out.resolve()
    if same:
        raise InputError(f"{out} is the input too.", hint="Name another file for the answers.")


def _item(path: Path, number: int, line: str) -> BatchLine:
    try:
        given = json.loads(line)
        if isinstance(given, str):
            given = {"text": given}
        item = BatchLine.model_validate(given)
    except ValidationError as exc:
        first = complaints(exc)[0]
        where = f"{path}, line {number}: {first.field or 'line'}"
        raise InputError(f"{where}: {first.message}.") from exc
    except ValueError as exc:
        raise InputError(f"{path}, line {number}: not JSON ({exc}).") from exc
    return item if item.id else item.model_copy(update={"id": str(number)})


def answered_ids(path: Path) -> set[str]:
    """Ids that the output has an answer for; a line cut off by a crash doesn't count."""
    if not path.exists():
        return set()
    done = set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "answer" in row:
            done.add(str(row.get("id")))
    return done


async def run_batch(
    agent: Agent,
    items: list[BatchLine],
    out: Path,
    *,
    at_once: int = 8,
    max_cost_usd: Decimal | None = None,
    told: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Asks every item that has no answer yet, and appends one line each to the output.

    Args:
        agent: Who answers.
        items: What to ask.
        out: JSONL; each line has the item's `id` and either the reply's fields or `error`.
        at_once: Items under way at the same time; those of one thread are asked in their order.
        max_cost_usd: No further item is asked once so much was spent; those under way end.
        told: Called after each item.

    Returns:
        How it ended.
    """
    done = answered_ids(out)
    tally = Tally(total=len(items), skipped=sum(item.id in done for item in items))
    waiting = [item for item in items if item.id not in done]
    queue: asyncio.Queue[list[BatchLine]] = asyncio.Queue()
    for conversation in _conversations(waiting):
        queue.put_nowait(conversation)
    _end_cut_line(out)
    with out.open("a", encoding="utf-8") as file:

        async def work() -> None:
            while not queue.empty():
                for item in queue.get_nowait():
                    if max_cost_usd is not None and tally.cost_usd >= max_cost_usd:
                        tally.left += 1
                        continue
                    row = await _answer(agent, item, tally)
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    file.flush()
                    told(tally)

        at_work = [asyncio.create_task(work()) for _ in range(max(1, min(at_once, len(waiting))))]
        try:
            await asyncio.gather(*at_work)
        finally:
            await ended(*at_work)  # where one can't write, the others ask nobody any more
    return tally


def _conversations(items: list[BatchLine]) -> list[list[BatchLine]]:
    """The items of each thread, in their order; one without a thread is a conversation of its own.

    A thread has one turn at a time: asked at once, the later ones would only wait.
    """
    found: dict[str, list[BatchLine]] = {}
    for item in items:
        key = f"own/{item.id}" if item.thread is None else f"thread/{item.thread}"
        found.setdefault(key, []).append(item)
    return list(found.values())


async def _answer(agent: Agent, item: BatchLine, tally: Tally) -> dict[str, Any]:
    try:
        reply = await agent.aask(item.text, thread_id=item.thread, context=item.context)
    except Exception as exc:  # noqa: BLE001  # one item's error, whatever it is, ends that item only
        tally.failed += 1
        message = (
            str(exc) if isinstance(exc, AllotropeError) else "Something unforeseen went wrong."
        )
        return {"id": item.id, "error": {"type": type(exc).__name__, "message": message}}
    tally.answered += 1
    tally.cost_usd += reply.cost_usd or Decimal(0)
    return {"id": item.id, **reply.as_dict()}


def _end_cut_line(path: Path) -> None:
    """Ends a last line that a crash cut off, so that the next row starts on its own line."""
    if path.exists() and path.stat().st_size:
        with path.open("rb+") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
