"""Our own runtime as the system of a drill: the user's settings, led to the simulated providers."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from allotrope.contracts import Event
from allotrope.drill.stage import System, compressed
from allotrope.exceptions import InputError
from allotrope.settings import Settings
from allotrope.stores.redis.server import EmbeddedServer, find_server


class DrillRedis:
    """A Redis of the drill's own, so that no outage of a drill reaches the real circuits."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="allotrope-drill-"))
        self._server = EmbeddedServer(self.folder / "redis", persist=False)

    def __enter__(self) -> Self:
        """Starts it, where there is a redis-server to start."""
        if find_server() is not None:
            self._server.ensure()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stops it and removes its folder."""
        self._server.leave()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str | None:
        """Its address, or None where there is no redis-server."""
        return self._server.url if find_server() is not None else None

    def kill(self) -> None:
        """Kills the server."""
        pid = self._server.pid()
        if pid is not None and self._server.answers():
            os.kill(pid, signal.SIGKILL)

    def revive(self) -> None:
        """Starts it again, empty."""
        if find_server() is not None:
            self._server.ensure()


def drill_settings(
    settings: Settings,
    *,
    openai_url: str,
    ollama_url: str,
    folder: Path,
    redis_url: str | None,
    speed: float,
) -> Settings:
    """The user's settings, compressed, with the simulator in place of the real servers.

    The chain is the user's: who is switched off stays off, and the embedded model is the real one.
    Keys, data, ledger and Redis stay out of it: where the user has a Redis the drill has one of
    its own. The answer cache is off, since every turn must go through the chain.

    Args:
        settings: The user's.
        openai_url: The simulated OpenAI.
        ollama_url: The simulated Ollama.
        folder: For everything the run keeps.
        redis_url: The drill's Redis; None: there is none to be had.
        speed: How much faster the run's clock is.

    Raises:
        InputError: OpenAI is switched off: there is nothing to fail.
    """
    if not settings.openai.enabled:
        raise InputError(
            "OpenAI is switched off in these settings, so there is nothing to fail.",
            hint="Drill with ALLOTROPE_OPENAI__ENABLED=true.",
        )
    fast = compressed(settings, speed)
    shares = settings.redis.url is not None or settings.redis.embedded
    openai = {"api_key": SecretStr("sk-drill"), "base_url": openai_url}
    redis = {
        "url": SecretStr(redis_url) if redis_url is not None and shares else None,
        "embedded": False,
        "prefix": "drill:",
    }
    return fast.model_copy(
        update={
            "data_dir": folder,
            "callbacks": (),
            "openai": fast.openai.model_copy(update=openai),
            "ollama": fast.ollama.model_copy(update={"host": ollama_url}),
            "redis": fast.redis.model_copy(update=redis),
            "cache": fast.cache.model_copy(update={"enabled": False}),
        }
    )


class OurSystem:
    """The assistant on the drill's settings, as `Agent.astream` serves it.

    Args:
        settings: From `drill_settings`.
    """

    name = "allotrope"

    def __init__(self, settings: Settings) -> None:
        from langgraph.checkpoint.memory import InMemorySaver

        from allotrope.agents import registry
        from allotrope.agents.agent import Agent
        from allotrope.models.breaker.opening import circuits_of

        self.circuits = circuits_of(settings)
        self._agent = Agent(registry.find("assistant"), settings, checkpointer=InMemorySaver())

    async def turn(self, thread: str, text: str) -> AsyncIterator[tuple[str, str]]:
        """One turn; see `drill.System`."""
        async for event in self._agent.astream(text, thread_id=thread):
            if event["type"] == Event.TOKEN:
                yield "token", event["text"]
            elif event["type"] == Event.RESTART:
                yield "restart", ""
            elif event["type"] == Event.REPLY:
                yield "provider", event["provider"]
                if event.get("succession"):
                    yield "successor", event["succession"]["to"]
                yield "answer", event["answer"]

    async def threads(self, names: list[str]) -> dict[str, list[tuple[str, str]]]:
        """What the threads hold."""
        graph = await self._agent.agraph()
        held = {}
        for name in names:
            state = await graph.aget_state({"configurable": {"thread_id": name}})
            held[name] = [(m.type, m.text) for m in state.values.get("messages", [])]
        return held

    async def aclose(self) -> None:
        """Closes what the agent and its circuits opened."""
        await self._agent.aclose()
        await asyncio.to_thread(self.circuits.close)


async def warm(system: System) -> None:
    """Two turns before the clock starts: imports and first connections are no outage."""
    for number in range(2):
        async for _ in system.turn(f"warm{number}-{os.getpid()}", "warm up"):
            pass
