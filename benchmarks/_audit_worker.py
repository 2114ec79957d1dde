"""One process of the audit that holds an `Agent`: questions come as JSON lines, answers go out so.

Run by `audit.py`. It ends when its input does.
"""

import asyncio
import json
import sys
import threading
from typing import Any

from allotrope.exceptions import (
    AllotropeError,
    AllProvidersFailedError,
    BudgetExceededError,
    ThreadBusyError,
)

WORDS_BEFORE_LEAVING = 3
_printing = threading.Lock()


def say(**line: Any) -> None:
    """One line to the audit."""
    with _printing:
        print(json.dumps(line), flush=True)


async def answered(agent: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """One turn, the way that was asked for; what a caller gets of it."""
    text, thread, way = asked["text"], asked["thread"], asked["way"]
    context = {name: asked[name] for name in ("tenant", "user", "budget_tokens") if asked[name]}
    if way == "aask":
        return (await agent.aask(text, thread_id=thread, context=context)).as_dict()
    if way == "ask":
        reply = await asyncio.to_thread(agent.ask, text, thread_id=thread, context=context)
        return reply.as_dict()
    if way == "stream":

        def read() -> dict[str, Any]:
            last: dict[str, Any] = {}
            for event in agent.stream(text, thread_id=thread, context=context):
                last = event
            return last

        return await asyncio.to_thread(read)
    words, said, last = 0, "", {}
    events = agent.astream(text, thread_id=thread, context=context)
    try:
        async for event in events:
            last = event
            if event["type"] == "token":
                words, said = words + 1, said + event["text"]
                if way == "leave" and words >= WORDS_BEFORE_LEAVING:
                    break
    finally:
        await events.aclose()
    if last["type"] != "reply":
        await agent.akeep_said(thread, said, question=text, context=context)
        return {"left": True}
    return last


async def turn(agent: Any, asked: dict[str, Any]) -> None:
    """One turn and the line about it."""
    found: dict[str, Any] = {"id": asked["id"]}
    try:
        reply = await answered(agent, asked)
        if "left" in reply:
            found["ended"] = "left"
        else:
            found |= {"ended": "answered", "answer": reply["answer"], "cached": reply["cached"]}
    except Exception as exc:  # what a caller of `Agent` would have to deal with
        found |= {
            "ended": "error",
            "error": f"{type(exc).__name__}: {exc}"[:400],
            "clear": isinstance(exc, AllotropeError),
            "kept": isinstance(exc, AllProvidersFailedError),
            "refused": isinstance(exc, BudgetExceededError),
            "busy": isinstance(exc, ThreadBusyError),
        }
    say(**found)


async def work() -> None:
    """Reads until the input ends."""
    from allotrope import build_agent, load_settings
    from allotrope.operations.logs import configure

    settings = load_settings(env_file=None)
    configure(settings.log)
    agent = build_agent("assistant", settings=settings)
    await agent.agraph()
    say(ready=True)
    tasks: set[asyncio.Task[None]] = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        task = asyncio.create_task(turn(agent, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks, timeout=60)
    await agent.aclose()
    say(closed=True, running=len(tasks))


if __name__ == "__main__":
    asyncio.run(work())
