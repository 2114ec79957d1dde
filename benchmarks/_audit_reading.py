"""What a run of the audit left behind: threads, ledger, and every place where a key could stand."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _audit_facts import Booked, Facts, Thread
from _audit_plan import TENANTS
from langchain_core.messages import BaseMessage, messages_from_dict

from allotrope import Agent, build_agent, load_settings
from allotrope.settings import Settings

if TYPE_CHECKING:
    from _audit_stage import Stage


def read(stage: "Stage", facts: Facts) -> Facts:
    """The facts with all that the stores hold.

    Args:
        stage: The run, its processes ended and its stores up.
        facts: What was seen while it ran.
    """
    settings = load_settings(environ=stage.settings(), env_file=None)
    threads: list[Thread] = []
    searches: list[tuple[str, str]] = []
    with build_agent("assistant", settings=settings) as agent:
        for one in stage.plan.conversations:
            if not any(heard.thread == one.thread for heard in facts.heard):
                continue
            held = _messages(agent, one.tenant, one.thread)
            threads.append(Thread(one.tenant, one.thread, tuple(held)))
            for tenant in TENANTS:  # a thread of another's name, too
                found = agent.parts.memory.search("our word", thread=one.thread, tenant=tenant)
                searches.append((tenant, found))
    booked = _booked(settings)
    keys = sorted({*_in_files(stage), *_in_redis(stage)})
    said = [one for one in facts.heard if stage.canary in one.answer + one.error]
    keys += [f"what {one.door} said to {one.token}" for one in said]
    counts = {
        "conversations": len(stage.plan.conversations),
        "questions": stage.plan.questions,
        "turns": len(facts.heard),
        "requests": len(facts.asked),
        "cache hits": sum(bool(row.cached) for row in booked),
        "refused": sum(row.status == "refused" for row in booked),
        "disk": int(stage.disk.mounted),
    }
    for ended in ("answered", "error", "died", "left", "hung"):
        counts[ended] = sum(one.ended == ended for one in facts.heard)
    return replace(
        facts, booked=booked, threads=threads, searches=searches, keys=keys, counts=counts
    )


def _messages(agent: Agent, tenant: str, thread: str) -> Iterator[tuple[str, str]]:
    """A thread's messages: those of the archive, then those that are only in the live state."""
    kept = messages_from_dict(agent.parts.memory.archive.export(tenant, thread))
    live: list[BaseMessage] = agent.history(thread, context={"tenant": tenant})
    known = {message.id for message in kept}
    for message in [*kept, *(one for one in live if one.id not in known)]:
        yield message.type, message.text


def _booked(settings: Settings) -> list[Booked]:
    from sqlalchemy import select

    from allotrope.usage.ledger import schema
    from allotrope.usage.ledger.ledger import open_ledger
    from allotrope.usage.ledger.places import spill_path
    from allotrope.usage.recorder.spill import Spill

    with open_ledger(settings) as ledger:
        Spill(spill_path(settings)).pick_up(ledger.write)
        with ledger.engine.connect() as connection:
            found = connection.execute(select(schema.calls)).mappings().all()
    return [_row(one) for one in found]


def _row(found: Any) -> Booked:
    begin = found["at"] / 1e6
    same = ("id", "tenant", "thread", "provider", "status", "error", "cached")
    return Booked(
        at=begin,
        ended=begin + found["latency_ms"] / 1000,
        estimated=bool(found["estimated"]),
        input_tokens=found["input_tokens"],
        output_tokens=found["output_tokens"],
        **{name: found[name] for name in same},
    )


def _in_files(stage: "Stage") -> Iterator[str]:
    """Files with the planted key or password, by name."""
    folders = [stage.folder, *([stage.postgres.folder] if stage.postgres else [])]
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and _has(path, stage):
                yield str(path.relative_to(folder))


def _has(path: Path, stage: "Stage") -> bool:
    marks = [stage.canary.encode(), stage.password.encode()]
    with contextlib.suppress(OSError), path.open("rb") as file:
        tail = b""
        while block := file.read(1 << 22):
            if any(mark in tail + block for mark in marks):
                return True
            tail = block[-200:]
    return False


def _in_redis(stage: "Stage") -> Iterator[str]:
    marks = [stage.canary.encode(), stage.password.encode()]
    for text in stage.redis.texts():
        if any(mark in text for mark in marks):
            yield "Redis"
