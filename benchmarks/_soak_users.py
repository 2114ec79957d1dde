"""The users of a soak: they ask four agents through every door of `allotrope serve`."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

AGENTS = ("assistant", "analyst", "creative", "coder")

DOORS = ("plain", "streamed", "chat page")

QUESTIONS = {
    "assistant": "What should I pack for {number} days in {place}?",
    "analyst": "Is {number} visitors a day a lot for {place}? Say what data you would need.",
    "creative": "Write {number} words about a morning in {place}.",
    "coder": "Write a Python function that gives {number} times the length of '{place}'.",
}
PLACES = ("Oslo", "Lima", "Kyoto", "Accra", "Quito", "Hanoi", "Tunis", "Turku", "Perth", "Davos")

TURNS = (4, 10)
"""How many turns a conversation has, from and to."""

PAUSE_S = (0.5, 3.0)
"""What a user takes to read an answer, seconds, from and to."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a turn ended.

    Attributes:
        agent: Who was asked.
        door: By which door.
        seconds: How long it took.
        error: None, or the kind of error; `no end` where nothing said that the turn was over.
        provider: Who answered.
        answer: What.
    """

    agent: str
    door: str
    seconds: float
    error: str | None
    provider: str = ""
    answer: str = ""


@dataclass
class Crowd:
    """Users that talk until they are told to stop.

    Attributes:
        url: Of the server.
        patience_s: A turn that takes longer has no end, seconds.
        ended: Every turn that ended or never will.
        threads: How many conversations were begun.
    """

    url: str
    patience_s: float
    ended: list[Ended] = field(default_factory=list)
    threads: int = 0
    under_way: int = 0

    async def talk(self, users: int, *, until: Callable[[], bool], seed: int = 0) -> None:
        """All users talk.

        Args:
            users: How many.
            until: Whether no turn is to begin any more.
            seed: Of chance.
        """
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self.url, timeout=None, limits=limits) as client:
            await asyncio.gather(
                *(
                    self._user(client, n, until, random.Random(seed * 1000 + n))
                    for n in range(users)
                )
            )

    async def _user(
        self,
        client: httpx.AsyncClient,
        number: int,
        until: Callable[[], bool],
        chance: random.Random,
    ) -> None:
        turn = number
        while not until():
            agent = AGENTS[turn % len(AGENTS)]
            thread = f"soak-{number}-{turn}"
            self.threads += 1
            for _ in range(chance.randint(*TURNS)):
                if until():
                    return
                text = QUESTIONS[agent].format(
                    number=chance.randint(2, 9_999), place=chance.choice(PLACES)
                )
                self.under_way += 1
                try:
                    self.ended.append(
                        await ask(
                            client,
                            agent,
                            text,
                            thread=thread,
                            door=chance.choice(DOORS),
                            patience_s=self.patience_s,
                        )
                    )
                finally:
                    self.under_way -= 1
                await asyncio.sleep(chance.uniform(*PAUSE_S))
            turn += 1


async def ask(
    client: httpx.AsyncClient, agent: str, text: str, *, thread: str, door: str, patience_s: float
) -> Ended:
    """One turn.

    Args:
        client: Of the server.
        agent: Who is asked.
        text: What.
        thread: In which conversation.
        door: One of `DOORS`.
        patience_s: Seconds after which it has no end.
    """
    begin = time.perf_counter()
    found: dict[str, Any] = {"error": "no end"}
    try:
        async with asyncio.timeout(patience_s):
            found = await _BY_DOOR[door](client, agent, text, thread)
    except TimeoutError:
        pass
    except httpx.HTTPError as exc:
        found = {"error": f"connection: {type(exc).__name__}"}
    return Ended(agent=agent, door=door, seconds=time.perf_counter() - begin, **found)


def _body(agent: str, text: str, thread: str, *, stream: bool) -> dict[str, Any]:
    return {
        "model": agent,
        "messages": [{"role": "user", "content": text}],
        "stream": stream,
        "allotrope": {"thread_id": thread},
    }


def _refused(status: int, body: bytes) -> dict[str, Any]:
    try:
        return {"error": f"{status} {json.loads(body)['error']['code']}"}
    except (ValueError, KeyError, TypeError):
        return {"error": str(status)}


async def _plain(client: httpx.AsyncClient, agent: str, text: str, thread: str) -> dict[str, Any]:
    answer = await client.post(
        "/v1/chat/completions", json=_body(agent, text, thread, stream=False)
    )
    if answer.status_code != 200:
        return _refused(answer.status_code, answer.content)
    found = answer.json()
    said = found["choices"][0]["message"]["content"] or ""
    return {"error": None, "provider": found["allotrope"]["provider"], "answer": said}


async def _streamed(
    client: httpx.AsyncClient, agent: str, text: str, thread: str
) -> dict[str, Any]:
    said, provider, error = "", "", "no end"
    asked = _body(agent, text, thread, stream=True)
    async with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        if answer.status_code != 200:
            return _refused(answer.status_code, await answer.aread())
        async for line in answer.aiter_lines():
            if line == "data: [DONE]":
                return {"error": None, "provider": provider, "answer": said}
            if not line.startswith("data: "):
                continue
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                error = f"in the stream: {event['error'].get('code')}"
                break
            provider = (event.get("allotrope") or {}).get("provider") or provider
            for choice in event["choices"]:
                said += choice["delta"].get("content") or ""
    return {"error": error}


async def _chat_page(
    client: httpx.AsyncClient, agent: str, text: str, thread: str
) -> dict[str, Any]:
    asked = {"agent": agent, "text": text, "thread_id": thread}
    async with client.stream("POST", "/api/turns", json=asked) as answer:
        if answer.status_code != 200:
            return _refused(answer.status_code, await answer.aread())
        async for line in answer.aiter_lines():
            event = json.loads(line)
            if event["type"] == "error":
                return {"error": f"in the stream: {event['code']}"}
            if event["type"] == "reply":
                provider = event.get("provider") or ""
                return {"error": None, "provider": provider, "answer": event["answer"]}
    return {"error": "no end"}


_BY_DOOR = {"plain": _plain, "streamed": _streamed, "chat page": _chat_page}
