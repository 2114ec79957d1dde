"""Every chat model of the installed tables, and three nobody knows, through every agent."""

import asyncio
import json
import os
import tempfile
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from _form import show
from _overhead_agents import STEPS, TASKS, write_files

from allotrope.testing import ProviderSimulator, SimModel, SimRequest

UNKNOWN = (
    SimModel(
        name="gpt-7-sol", efforts=("low", "high"), default_effort="high", chat=False,
        sampling="never", verbosities=(), longest_answer=16_384,
    ),
    SimModel(
        name="gpt-7.5-luna", efforts=("none", "low", "medium", "high"), responses=False,
        sampling="never", unknown=("prompt_cache_key",),
    ),
    SimModel(name="o5", efforts=("medium", "high"), sampling="never"),
)  # fmt: skip
"""Models that came after this package, with rules of their own."""

QUICK = ("o3", "gpt-4.1", "gpt-5.6-terra", "gpt-6.1-sol", "gpt-6-luna", "gpt-7-sol", "gpt-7.5-luna")


def played(request: SimRequest) -> str:
    """The answer to each step of an agent."""
    system = request.asked.turns[0].text
    return next((text for mark, text in STEPS.items() if system.startswith(mark)), "Hello.")


def listed(simulator: ProviderSimulator) -> list[str]:
    """The models that the provider has."""
    asked = urllib.request.Request(
        f"{simulator.openai_url}/models", headers={"Authorization": "Bearer sk-x"}
    )
    with urllib.request.urlopen(asked, timeout=10) as reply:
        return [row["id"] for row in json.load(reply)["data"]]


def chat_models() -> list[str]:
    """The chat models of the table that langchain-openai ships."""
    from allotrope.support.compat.openai import profile_table

    other = ("embed", "image", "audio", "realtime", "tts", "transcribe", "deep-research", "search")
    talks = [name for name, one in profile_table().items() if one.get("text_outputs", True)]
    return sorted(
        name
        for name in talks
        if name.startswith(("gpt-", "o1", "o3", "o4", "chatgpt-"))
        and not any(word in name for word in other)
    )


def matrix(*, quick: bool) -> dict[str, Any]:
    """Asks every agent with every model and profile, plain and streamed; prints what came of it.

    Args:
        quick: Seven models and one profile only.
    """
    before = Path.cwd()
    with ProviderSimulator(models=UNKNOWN, reasoning_tokens=0) as simulator:
        simulator.answer_with(played)
        names = [*chat_models(), "gpt-6.2-sol", "gpt-6.2-astra", *(m.name for m in UNKNOWN)]
        names = [name for name in dict.fromkeys(names) if name in listed(simulator)]
        asked = [name for name in names if name in QUICK] if quick else names
        found = []
        for name in asked:
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                try:
                    write_files(Path(folder))
                    found.append(asyncio.run(one_model(name, simulator, Path(folder), quick=quick)))
                finally:
                    os.chdir(before)
    turns = sum(row["turns"] for row in found)
    reached = [text for row in found for text in row["reached"]]
    learnt = {row["model"]: row["learnt"] for row in found if row["learnt"]}
    show(
        "Every model through every agent and profile, plain and streamed",
        ("", "number"),
        [
            ("models", len(found)),
            ("turns", turns),
            ("refusals that reached a user", len(reached)),
            ("requests refused and mended", sum(row["refused"] for row in found)),
            ("models of which something was learnt", len(learnt)),
        ],
    )
    for text in reached[:20]:
        print(text)
    return {"models": len(found), "turns": turns, "reached": reached, "learnt": learnt}


async def one_model(
    name: str, simulator: ProviderSimulator, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """All agents with one model, through every packaged profile."""
    from allotrope import build_agent, load_settings
    from allotrope.graphs.parts import Parts
    from allotrope.models.catalogue.lifecycle import lifecycles_of

    simulator.script([])
    start = len(simulator.requests)
    settings = load_settings(
        environ={**simulator.environment, "ALLOTROPE_DATA_DIR": str(folder / "data")},
        env_file=None,
        callbacks=(),
        openai={
            "model": name,
            "roles": {"economical": name, "judge": name},
            "succession": "off",
        },
        ollama={"enabled": False},
        embedded={"enabled": False},
        redis={"embedded": False},
        cache={"enabled": False},
        resilience={"first_wait_s": 0.01},
        agents={
            "coder_approval": False,
            "coder_isolation": False,
            "research_questions": 1,
            "output_dir": folder / "out",
        },
    )
    parts = Parts(settings)
    profiles = ("balanced",) if quick else parts.profiles.names()
    turns, reached = 0, []
    for agent_name, task in TASKS.items():
        agent = build_agent(agent_name, settings=settings, parts=parts)
        for profile in profiles:
            for streamed in (False, True):
                turns += 1
                try:
                    problem = await turn(agent, task, profile, streamed=streamed)
                except Exception as exc:
                    problem = f"{type(exc).__name__}: {exc}"[:300]
                if problem:
                    how = "streamed" if streamed else "plain"
                    reached.append(f"{name}, {agent_name}, {profile}, {how}: {problem}")
        await agent.aclose()
    learnt = [repair.sentence(name) for repair in lifecycles_of(settings).repairs(name)]
    parts.close()
    statuses = Counter(request.status for request in simulator.requests[start:])
    return {
        "model": name,
        "turns": turns,
        "reached": reached,
        "learnt": learnt,
        "refused": sum(number for status, number in statuses.items() if status >= 400),
    }


async def turn(agent: Any, task: str, profile: str, *, streamed: bool) -> str:
    """One turn; why it isn't a good one, or nothing."""
    context = {"profile": profile}
    reply: dict[str, Any] = {}
    if streamed:
        async for event in agent.astream(task, context=context):
            if event["type"] == "reply":
                reply = event
    else:
        reply = (await agent.aask(task, context=context)).as_dict()
    if reply.get("degraded"):
        return str(reply["degraded"]["message"])
    return "" if reply.get("answer") else "no answer"
