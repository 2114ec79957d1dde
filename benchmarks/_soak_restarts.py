"""PostgreSQL and Redis restarted under conversations through `allotrope serve`."""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from _form import show
from _postgres import Postgres
from _soak_servers import Redis, Serve
from _soak_users import DOORS, Ended, ask

from allotrope.testing import ProviderSimulator, Reply, SimRequest

DOWN_S = 2.0
"""How long a store is away, seconds."""

BETWEEN_S = 10.0
"""From one restart to the next, seconds."""

RECOVERED_S = 5.0
"""So many seconds after a store accepts connections again, turns have to be answered."""

AGAIN_S = 0.5
"""After a refusal a client asks the same again so many seconds later."""

PATIENCE_S = 120.0


def answer(request: SimRequest) -> Reply:
    """What the simulated model says: the question it was asked."""
    return Reply(f"Answer to: {request.text}", token_delay_s=0.01)


class Conversation:
    """One thread, whose client asks again what was refused.

    Args:
        number: Which.
    """

    def __init__(self, number: int) -> None:
        self.thread = f"restart-{number}"
        self.questions: list[str] = []
        self.tries: list[tuple[float, float, Ended]] = []
        self._chance = random.Random(number)

    async def talk(self, client: httpx.AsyncClient, until: Callable[[], bool]) -> None:
        """Asks one question after the other."""
        while not until():
            text = f"{self.thread}, question {len(self.questions)}?"
            self.questions.append(text)
            while True:
                began = time.monotonic()
                ended = await ask(
                    client,
                    "assistant",
                    text,
                    thread=self.thread,
                    door=self._chance.choice(DOORS),
                    patience_s=PATIENCE_S,
                )
                self.tries.append((began, time.monotonic(), ended))
                if ended.error is None:
                    break
                await asyncio.sleep(AGAIN_S)
            await asyncio.sleep(self._chance.uniform(0.0, 0.3))


async def restarts(*, conversations: int, rounds: int = 2) -> dict[str, Any]:
    """Restarts each store so many times.

    Args:
        conversations: How many run at once.
        rounds: Restarts of each store.
    """
    folder = Path(tempfile.mkdtemp(prefix="alt-soak-"))
    postgres, redis = Postgres(), Redis()
    try:
        with ProviderSimulator(latency_s=0.1) as simulator:
            simulator.answer_with(answer)
            environment = {
                **simulator.environment,
                **postgres.environment(),
                "REDIS_URL": redis.url,
                "ALLOTROPE_OLLAMA__ENABLED": "false",
                "ALLOTROPE_EMBEDDED__ENABLED": "false",
            }
            with Serve(environment, folder) as serve:
                stores = {"PostgreSQL": postgres, "Redis": redis}
                return await _restarted(serve, stores, conversations, rounds)
    finally:
        postgres.close()
        redis.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _restarted(
    serve: Serve, stores: dict[str, Any], conversations: int, rounds: int
) -> dict[str, Any]:
    talks = [Conversation(number) for number in range(conversations)]
    over = False
    restarted: list[tuple[str, float, float]] = []
    async with httpx.AsyncClient(base_url=serve.url, timeout=None) as client:
        talking = asyncio.gather(*(talk.talk(client, lambda: over) for talk in talks))
        await asyncio.sleep(BETWEEN_S / 2)
        for _ in range(rounds):
            for name, store in stores.items():
                gone = time.monotonic()
                await asyncio.to_thread(store.stop)
                await asyncio.sleep(DOWN_S)
                await asyncio.to_thread(store.start)
                restarted.append((name, gone, time.monotonic()))
                await asyncio.sleep(BETWEEN_S)
        over = True
        await talking
        kept = [await _messages(client, talk.thread) for talk in talks]
    tries = [one for talk in talks for one in talk.tries]
    return {
        "conversations": conversations,
        "questions": sum(len(talk.questions) for talk in talks),
        "tries": len(tries),
        "same_process": serve.alive,
        "wrong_threads": [
            talk.thread for talk, found in zip(talks, kept, strict=True) if found != _expected(talk)
        ],
        "restarts": [
            {
                "store": name,
                "away_s": round(back - gone, 2),
                "refused": sum(
                    one.error is not None and gone <= end < back + BETWEEN_S
                    for _, end, one in tries
                ),
                "recovered_s": round(_recovery(tries, back), 2),
            }
            for name, gone, back in restarted
        ],
        "errors": sorted({one.error for _, _, one in tries if one.error}),
    }


def _recovery(tries: list[tuple[float, float, Ended]], back: float) -> float:
    """Seconds from when a store was back to the last refusal, or the first answer if later."""
    until = back + BETWEEN_S
    refusals = [end for _, end, one in tries if one.error is not None and back <= end < until]
    answers = [end for _, end, one in tries if one.error is None and end >= back]
    return max([min(answers, default=until), *refusals]) - back


async def _messages(client: httpx.AsyncClient, thread: str) -> list[tuple[str, str]]:
    found = (await client.get(f"/api/threads/{thread}")).json()["messages"]
    return [(message["role"], message["text"]) for message in found]


def _expected(talk: Conversation) -> list[tuple[str, str]]:
    """Each question once, with its answer, in their order."""
    return [
        part
        for text in talk.questions
        for part in (("user", text), ("assistant", f"Answer to: {text}"))
    ]


def show_restarts(found: dict[str, Any]) -> None:
    """Prints a run."""
    columns = ("store", "away s", "turns refused", "recovered after s")
    rows = [tuple(one.values()) for one in found["restarts"]]
    told = f"{found['conversations']} conversations, {found['questions']} questions"
    wrong = len(found["wrong_threads"])
    show(f"Restarts under {told}: {wrong} threads that aren't right", columns, rows)
    if found["errors"]:
        print("What clients were told:", ", ".join(found["errors"]))


def verdict(found: dict[str, Any]) -> list[str]:
    """What isn't as promised."""
    wrong = []
    if found["wrong_threads"]:
        wrong.append(f"questions or answers are missing or double in {found['wrong_threads']}")
    if not found["same_process"]:
        wrong.append("`serve` ended")
    late = [one for one in found["restarts"] if one["recovered_s"] > RECOVERED_S]
    if late:
        wrong.append(f"not recovered within {RECOVERED_S:g} s: {late}")
    return wrong
