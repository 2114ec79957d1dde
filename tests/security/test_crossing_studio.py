"""LangGraph's server with keys: two tenants, two users each, at random: nothing crosses.

`ALLOTROPE_TEST_REQUESTS=10000` asks a tenth of that many times; the same seed asks the same.
"""

import os
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.security.crowd import Crowd, Person, check_prompts, everybody
from tests.studio_server import studio_server

from allotrope.identity.key_store import KeyStore
from allotrope.identity.keys import Key
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator

REQUESTS = int(os.environ.get("ALLOTROPE_TEST_REQUESTS", "400")) // 10
SEED = 16
pytestmark = [pytest.mark.slow, pytest.mark.studio]
pytest.importorskip("langgraph_api", reason="the extra `studio` isn't installed")


class Visitors(Crowd):
    """They use LangGraph's API, on threads of their own and of others."""

    def thread(self, who: Person) -> str:
        """A thread of one's own, of another's, or one that isn't there."""
        others = [name for one in self.people if one is not who for name in one.threads]
        known = who.threads if who.threads and self.chance.random() < 0.5 else others
        return self.chance.choice(known) if known else str(uuid.uuid4())

    def run(self, who: Person) -> dict[str, Any]:
        said = who.secret() if self.chance.random() < 0.8 else "Hello"
        body: dict[str, Any] = {
            "assistant_id": "assistant",
            "input": {"messages": [{"role": "user", "content": said}]},
        }
        claim = self.chance.random()
        if claim < 0.2:
            body["context"] = {"tenant": self.other(who).tenant, "user": self.other(who).user}
        elif claim < 0.4:
            body["config"] = {"configurable": {"thread_id": self.thread(who)}}
        return body

    async def new_thread(self, who: Person) -> None:
        body: dict[str, Any] = {}
        if self.chance.random() < 0.3:  # claims to be another's, or takes another's id
            other = self.other(who)
            body["metadata"] = {"allotrope_owner": f"{other.tenant}/{other.user}"}
        if self.chance.random() < 0.2:
            body |= {"thread_id": self.thread(who), "if_exists": "do_nothing"}
        answer = await self.request(who, "POST", "/threads", json=body)
        if answer.status_code == 200:
            who.threads.append(answer.json()["thread_id"])

    async def turn(self, who: Person) -> None:
        name = self.thread(who)
        path = self.chance.choice(("runs/wait", "runs/wait", "runs/stream", "runs"))
        answer = await self.request(who, "POST", f"/threads/{name}/{path}", json=self.run(who))
        if name not in who.threads:
            assert answer.status_code in (403, 404), (path, answer.status_code)

    async def threadless(self, who: Person) -> None:
        await self.request(who, "POST", "/runs/wait", json=self.run(who))

    async def reading(self, who: Person) -> None:
        name = self.thread(who)
        path = self.chance.choice(("", "/state", "/history", "/runs"))
        answer = await self.request(who, "GET", f"/threads/{name}{path}")
        if name not in who.threads and path != "/runs":
            assert answer.status_code in (403, 404), (path, answer.status_code)

    async def changing(self, who: Person) -> None:
        name = self.thread(who)
        method, path, body = self.chance.choice(
            (
                ("POST", "/copy", {}),
                ("POST", "/state", {"values": {"messages": []}}),
                ("PATCH", "", {"metadata": {"allotrope_owner": f"{who.tenant}/{who.user}"}}),
                ("POST", "/history", {"limit": 10}),
            )
        )
        answer = await self.request(who, method, f"/threads/{name}{path}", json=body)
        if name not in who.threads:  # LangGraph's server copies nothing with 409
            assert answer.status_code in (403, 404, 409), (path, answer.status_code)
        elif path == "/copy" and answer.status_code == 200:
            who.threads.append(answer.json()["thread_id"])

    async def searching(self, who: Person) -> None:
        other = self.other(who)
        body = self.chance.choice(
            (
                {"limit": 100},
                {"limit": 100, "metadata": {"allotrope_owner": f"{other.tenant}/{other.user}"}},
                {"limit": 100, "status": "idle"},
            )
        )
        found = await self.request(who, "POST", "/threads/search", json=body)
        if found.status_code == 200:
            assert {one["thread_id"] for one in found.json()} <= set(who.threads)

    async def operators(self, who: Person) -> None:
        method, path, body = self.chance.choice(
            (
                ("POST", "/store/items/search", {"namespace_prefix": []}),
                ("PUT", "/store/items", {"namespace": ["x"], "key": "k", "value": {"a": 1}}),
                ("POST", "/assistants", {"graph_id": "assistant"}),
                ("POST", "/runs/crons/search", {}),
                ("GET", "/dashboard", None),
            )
        )
        answer = await self.request(who, method, path, json=body)
        assert answer.status_code in (403, 404), (path, answer.status_code)

    async def go(self, requests: int) -> None:
        for one in self.people:
            await self.new_thread(one)
        doors = (self.new_thread, self.turn, self.turn, self.threadless, self.reading,
                 self.reading, self.changing, self.searching, self.operators)  # fmt: skip
        for _ in range(requests):
            await self.chance.choice(doors)(self.chance.choice(self.people))


@pytest.mark.timeout(6 * 3600)
async def test_nothing_crosses_in_studio(
    simulator_settings: Settings,
    simulator_environ: dict[str, str],
    simulator: ProviderSimulator,
    tmp_path: Path,
) -> None:
    people = everybody()
    with KeyStore(simulator_settings) as store:
        for one in people:
            _, one.key = store.create(Key(id="", digest="", tenant=one.tenant, user=one.user))
    environ = {**simulator_environ, "ALLOTROPE_SERVE__TOKEN": "a-token-of-enough-characters"}
    with studio_server(environ, tmp_path) as base:
        async with httpx.AsyncClient(base_url=base, timeout=60) as client:
            crowd = Visitors(client, people, seed=SEED)
            await crowd.go(REQUESTS)
    assert crowd.answers > REQUESTS / 4
    assert all(one.said and one.threads for one in people)
    assert check_prompts(simulator.chats())
