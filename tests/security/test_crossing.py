"""Two tenants, two users each, random requests through every door: nothing crosses.

`ALLOTROPE_TEST_REQUESTS=10000` asks that many times; the same seed asks the same.
"""

import os
import random
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from allotrope.graphs.context import RunContext
from allotrope.identity.key_store import KeyStore
from allotrope.identity.keys import Key
from allotrope.identity.principal import Principal
from allotrope.runtime import build_agent
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator
from allotrope.web.apps import serve_app

REQUESTS = int(os.environ.get("ALLOTROPE_TEST_REQUESTS", "300"))
SEED = 15
THREADS = ("notes", "work", "web-assistant-1")
"""Everybody calls theirs so."""

OPENINGS = ("Hello", "Hello there", "Good day")
"""Everybody begins so."""

MARK = re.compile(r"S-(\w+-\w+)-\d+")
"""What somebody said: `S-tenant-user-number`."""


@dataclass
class Person:
    tenant: str
    user: str
    key: str = ""
    said: int = 0
    histories: list[list[dict[str, str]]] = field(default_factory=list)

    @property
    def mark(self) -> str:
        return f"{self.tenant}-{self.user}"

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def secret(self) -> str:
        self.said += 1
        return f"My secret number {self.said} is S-{self.mark}-{self.said}."


class Crowd:
    """Asks at random, and looks into every answer for what somebody else said."""

    def __init__(self, client: httpx.AsyncClient, people: list[Person], settings: Settings) -> None:
        self.client = client
        self.people = people
        self.settings = settings
        self.chance = random.Random(SEED)
        self.answers = 0

    def look(self, who: Person, text: str, where: str) -> None:
        marks = set(MARK.findall(text))
        assert marks <= {who.mark}, (where, who.mark, marks)

    async def request(self, who: Person, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**who.bearer, **more.pop("headers", {})}
        answer = await self.client.request(method, path, headers=headers, **more)
        assert answer.status_code < 500, (method, path, answer.text[:300])
        self.look(who, answer.text, f"{method} {path}")
        self.answers += answer.status_code == 200
        return answer

    def other(self, who: Person) -> Person:
        return self.chance.choice([one for one in self.people if one is not who])

    def thread(self, who: Person) -> str:
        """A name of one's own, or a guess at how another's thread is kept."""
        name = self.chance.choice(THREADS)
        other = self.other(who)
        space = Principal("x", tenant=other.tenant, user=other.user).space
        guesses = (name, name, f"{space}{name}", f"{other.tenant}:{name}")
        return self.chance.choice(guesses)

    async def api(self, who: Person) -> None:
        """The whole history, as clients of OpenAI's API send it."""
        chance = self.chance
        going_on = bool(who.histories) and chance.random() < 0.6
        turns = chance.choice(who.histories) if going_on else []
        text = who.secret() if turns else chance.choice(OPENINGS)
        turns = [*turns, {"role": "user", "content": text}]
        body: dict[str, Any] = {"model": "assistant", "messages": turns}
        if chance.random() < 0.4:
            body["user"] = chance.choice([self.other(who).user, "ann", f"{who.user}::x", "x/y"])
        if chance.random() < 0.3:
            body["allotrope"] = {"cache": "no-cache"}
        answer = await self.request(who, "POST", "/v1/chat/completions", json=body)
        if answer.status_code == 200 and len(turns) < 7:
            said = answer.json()["choices"][0]["message"]["content"]
            who.histories.append([*turns, {"role": "assistant", "content": said}])
            who.histories[:] = who.histories[-4:]

    async def named(self, who: Person) -> None:
        """A thread by its name, in a header or in the body; the body claims another tenant."""
        name = self.thread(who)
        body: dict[str, Any] = {
            "model": "assistant",
            "messages": [{"role": "user", "content": who.secret()}],
        }
        if self.chance.random() < 0.5:
            headers = {"X-Allotrope-Thread": name, "X-Allotrope-Tenant": self.other(who).tenant}
            await self.request(who, "POST", "/v1/chat/completions", json=body, headers=headers)
            return
        body["allotrope"] = {"thread_id": name}
        if self.chance.random() < 0.2:
            body["allotrope"]["tenant"] = self.other(who).tenant
        await self.request(who, "POST", "/v1/chat/completions", json=body)

    async def page(self, who: Person) -> None:
        """The chat page's turns."""
        body = {"agent": "assistant", "text": who.secret(), "thread_id": self.thread(who)}
        await self.request(who, "POST", "/api/turns", json=body)

    async def reading(self, who: Person) -> None:
        """What the page reads."""
        listed = await self.request(who, "GET", "/api/threads")
        ids = [one["thread_id"] for one in listed.json()["threads"]]
        for name in (self.thread(who), *ids[:1]):
            await self.request(who, "GET", f"/api/threads/{name}")
        await self.request(who, "POST", f"/api/threads/{self.thread(who)}/stop")

    async def operators(self, who: Person) -> None:
        """What is an operator's."""
        other = self.other(who)
        path = self.chance.choice(
            ("/dashboard", f"/dashboard/rows?tenant={other.tenant}", "/metrics", "/status",
             f"/dashboard/rows.csv?user_name={other.user}", "/dashboard/live")
        )  # fmt: skip
        answer = await self.request(who, "GET", path)
        assert answer.status_code == 403, path

    async def command_line(self, who: Person) -> None:
        """A program on the same stores, with the tenant and the user in its settings."""
        settings = self.settings.model_copy(update={"tenant": who.tenant})
        async with build_agent(settings=settings) as agent:
            graph = await agent.agraph()
            context = RunContext(tenant=who.tenant, user=who.user)
            config = agent.thread_config(self.chance.choice(THREADS), context=context)
            state = await graph.aget_state(config)
        self.look(who, str(state.values), "command line")

    async def go(self, requests: int) -> None:
        doors = (self.api, self.api, self.named, self.page, self.reading, self.operators)
        for number in range(requests):
            who = self.chance.choice(self.people)
            await self.chance.choice(doors)(who)
            if number % 50 == 0:
                await self.command_line(who)


@pytest.mark.timeout(3600)
async def test_nothing_crosses(
    simulator_settings: Settings, simulator: ProviderSimulator, running_app: Any
) -> None:
    serve = simulator_settings.serve.model_validate(
        {"token": "a-token-of-enough-characters", "requests_per_minute": None}
    )
    settings = simulator_settings.model_copy(update={"serve": serve})
    people = [Person(tenant, user) for tenant in ("acme", "globex") for user in ("ann", "ben")]
    with KeyStore(settings) as store:
        for one in people:
            _, one.key = store.create(Key(id="", digest="", tenant=one.tenant, user=one.user))
    with running_app(serve_app(settings, host="127.0.0.1")) as base:
        async with httpx.AsyncClient(base_url=base, timeout=60) as client:
            crowd = Crowd(client, people, settings)
            await crowd.go(REQUESTS)
    assert crowd.answers > REQUESTS / 3
    assert all(one.said for one in people)
    mixed = 0
    for chat in simulator.chats():
        prompt = " ".join(turn.text for turn in chat.asked.turns)
        owners = set(MARK.findall(prompt))
        assert len(owners) <= 1, owners
        mixed += bool(owners)
    assert mixed > 10  # the prompts do hold what people said
