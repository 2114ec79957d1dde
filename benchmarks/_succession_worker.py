"""One process of the succession benchmark: its share of the conversations, a line a turn.

Run by `succession.py`; reads its task as JSON from the command line, prints JSON lines.
"""

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from _overhead_agents import TASKS, write_files

KEPT = (
    "provider", "model", "succession", "degraded", "cached",
)  # fmt: skip


async def conversation(
    agent: Any, name: str, number: int, turns: int, pause_s: float
) -> list[dict[str, Any]]:
    """Some turns of one thread, plain and streamed in turn."""
    thread, rows = f"{name}-{number}", []
    chance = random.Random(f"{thread}")
    for turn in range(turns):
        await asyncio.sleep(chance.uniform(0.0, 2 * pause_s))
        text, streamed = f"{TASKS[name]} (turn {turn})", turn % 2 == 1
        row: dict[str, Any] = {"agent": name, "thread": thread, "turn": turn, "streamed": streamed}
        started = time.perf_counter()
        try:
            if streamed:
                reply: dict[str, Any] = {}
                async for event in agent.astream(text, thread_id=thread):
                    if event["type"] == "reply":
                        reply = event
            else:
                reply = (await agent.aask(text, thread_id=thread)).as_dict()
            provenance = await last_provenance(agent, thread)
            row |= {key: reply.get(key, provenance.get(key)) for key in KEPT}
            row["answered"] = bool(reply.get("answer"))
        except Exception as exc:  # the benchmark counts what a user would see
            row |= {"answered": False, "error": f"{type(exc).__name__}: {exc}"[:200]}
        row["ms"] = (time.perf_counter() - started) * 1000
        row["at"] = time.time()
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


async def last_provenance(agent: Any, thread: str) -> dict[str, Any]:
    """Where the thread's last answer came from."""
    graph = await agent.agraph()
    state = await graph.aget_state(agent.thread_config(thread))
    return dict(state.values.get("provenance") or {})


async def work(task: dict[str, Any]) -> None:
    """All conversations at once, then what their threads hold."""
    from allotrope import build_agent, load_settings
    from allotrope.graphs.parts import Parts

    folder = Path.cwd()
    settings = load_settings(
        environ={**task["environment"], "ALLOTROPE_DATA_DIR": str(folder / "data")},
        env_file=None,
        callbacks=(),
        embedded={"enabled": False},
        cache={"enabled": False},
        agents={
            "coder_approval": False,
            "coder_isolation": False,
            "research_questions": 1,
            "output_dir": folder / "out",
        },
    )
    parts = Parts(settings)
    agents = {name: build_agent(name, settings=settings, parts=parts) for name in TASKS}
    for name, agent in agents.items():  # stores, files and clients are open before it begins
        await agent.aask(TASKS[name])
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    names = list(TASKS)
    jobs = [
        conversation(
            agents[names[i % len(names)]], names[i % len(names)], i, task["turns"], task["pause_s"]
        )
        for i in range(task["conversations"])
    ]
    for rows in await asyncio.gather(*jobs):
        name, thread = rows[0]["agent"], rows[0]["thread"]
        graph = await agents[name].agraph()
        state = await graph.aget_state(agents[name].thread_config(thread))
        asked = [m.text for m in state.values["messages"] if m.type == "human"]
        once = all(asked.count(f"{TASKS[name]} (turn {row['turn']})") == 1 for row in rows)
        print(json.dumps({"thread": thread, "once": once, "held": len(asked)}), flush=True)
    for agent in agents.values():
        await agent.aclose()
    parts.close()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    Path(given["folder"]).mkdir(parents=True, exist_ok=True)
    os.chdir(given["folder"])
    write_files(Path.cwd())
    asyncio.run(work(given))
