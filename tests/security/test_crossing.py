"""Two tenants, two users each, random requests through every door: nothing crosses.

`ALLOTROPE_TEST_REQUESTS=10000` asks that many times, `ALLOTROPE_TEST_SEED=16` others; the same seed
asks the same. Studio's door is in `test_crossing_studio.py`.
"""

import asyncio
import os
import sys
from typing import Any

import httpx
import pytest
from tests.security.crowd import MARK, Crowd, Person, check_prompts, everybody

from allotrope.agents.agent import build_agent
from allotrope.graphs.context import RunContext
from allotrope.identity.key_store import KeyStore
from allotrope.identity.keys import Key
from allotrope.identity.principal import Principal
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator
from allotrope.web.apps import serve_app

REQUESTS = int(os.environ.get("ALLOTROPE_TEST_REQUESTS", "160"))
SEED = int(os.environ.get("ALLOTROPE_TEST_SEED", "15"))
THREADS = ("notes", "work", "web-assistant-1")
"""Everybody calls theirs so."""

OPENINGS = ("Hello", "Hello there", "Good day")
"""Everybody begins so."""


class Visitors(Crowd):
    """They use `allotrope serve`, programs on the same stores, and the command line."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        people: list[Person],
        settings: Settings,
        environ: dict[str, str],
    ) -> None:
        super().__init__(client, people, seed=SEED)
        self.settings = settings
        self.environ = environ
        self.operators_said = {
            tenant: Person(tenant, "operator") for tenant in {one.tenant for one in people}
        }
        self.processes = 0

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

    async def program(self, who: Person) -> None:
        """A program on the same stores, with the tenant and the user in its settings."""
        settings = self.settings.model_copy(update={"tenant": who.tenant})
        async with build_agent(settings=settings) as agent:
            graph = await agent.agraph()
            context = RunContext(tenant=who.tenant, user=who.user)
            config = agent.thread_config(self.chance.choice(THREADS), context=context)
            state = await graph.aget_state(config)
        marks = set(MARK.findall(str(state.values)))  # programs share the operator's threads
        assert marks <= {who.mark, f"{who.tenant}-operator"}, (who.mark, marks)

    async def command_line(self) -> None:
        """`allotrope` as the operator of one tenant, who tries the other tenant's threads too."""
        who = self.operators_said[self.chance.choice(sorted(self.operators_said))]
        other = self.chance.choice([one for one in self.people if one.tenant != who.tenant])
        space = Principal("x", tenant=other.tenant, user=other.user).space
        own = self.chance.choice(THREADS)
        thread = self.chance.choice([own, f"{space}notes", f"{other.tenant}:{space}notes"])
        words = self.chance.choice(
            (
                ["ask", "assistant", who.secret(), "--thread", own, "--json"],
                ["ask", "assistant", self.chance.choice(OPENINGS), "--thread", thread, "--stream"],
                ["context", thread, "--json"],
                ["context", thread, "--search", "secret number"],
            )
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from allotrope.cli import main; main()", *words),
            env={**os.environ, **self.environ, "ALLOTROPE_TENANT": who.tenant},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told = (await process.communicate())[0].decode()
        assert "Traceback" not in told, told
        tenants = {mark.partition("-")[0] for mark in MARK.findall(told)}
        assert tenants <= {who.tenant}, (words, tenants)  # an operator sees all of its tenant
        self.processes += 1

    async def go(self, requests: int) -> None:
        doors = (self.api, self.api, self.named, self.page, self.reading, self.operators)
        for number in range(requests):
            who = self.chance.choice(self.people)
            await self.chance.choice(doors)(who)
            if number % 50 == 0:
                await self.program(who)
            if number % 100 == 50:
                await self.command_line()


@pytest.mark.timeout(6 * 3600)
@pytest.mark.slow
async def test_nothing_crosses(
    simulator_settings: Settings,
    simulator_environ: dict[str, str],
    simulator: ProviderSimulator,
    running_app: Any,
) -> None:
    serve = simulator_settings.serve.model_validate(
        {"token": "a-token-of-enough-characters", "requests_per_minute": None}
    )
    settings = simulator_settings.model_copy(update={"serve": serve})
    people = everybody()
    with KeyStore(settings) as store:
        for one in people:
            _, one.key = store.create(Key(id="", digest="", tenant=one.tenant, user=one.user))
    with running_app(serve_app(settings, host="127.0.0.1")) as base:
        async with httpx.AsyncClient(base_url=base, timeout=60) as client:
            crowd = Visitors(client, people, settings, simulator_environ)
            await crowd.go(REQUESTS)
    assert crowd.answers > REQUESTS / 3
    assert crowd.processes == (REQUESTS + 49) // 100
    assert all(one.said for one in people)
    assert check_prompts(simulator.chats()) > 10  # the prompts do hold what people said
