"""No expression, tokenizer or parser reads a long text on the event loop: others would wait.

While each agent gets a long text of the worst kinds, the event loop's thread is watched: which of
our functions there has a long text at hand and calls a regular expression, the tokenizer or JSON.
"""

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import httpx
import pytest

from allotrope.agents import registry
from allotrope.settings import Settings
from allotrope.stores.vocabulary import token_ids
from allotrope.support.pools import LONG_TEXT
from allotrope.testing import ProviderSimulator
from allotrope.web.apps import serve_app

READERS = {token_ids.__code__, json.loads.__code__, json.dumps.__code__}
KINDS = ("What is in 'a.csv'? ", "...", "<think>", "http://x ", "1 2 ", '"a.csv', "[")
TEXT = "".join(kind * (LONG_TEXT // len(kind) // 4) for kind in KINDS)


@contextmanager
def watched() -> Iterator[set[str]]:
    """Where a long text is read in this thread, by our code."""
    found: set[str] = set()

    def ours(frame: FrameType | None) -> FrameType | None:
        if frame is None or not str(frame.f_globals.get("__name__")).startswith("allotrope."):
            return None
        long = any(
            isinstance(value, str | bytes) and len(value) >= LONG_TEXT
            for value in frame.f_locals.values()
        )
        return frame if long else None

    def look(frame: FrameType, event: str, given: Any) -> None:
        reader = None
        if event == "c_call" and isinstance(getattr(given, "__self__", None), re.Pattern):
            reader = ours(frame)
        elif event == "call" and frame.f_code in READERS:
            reader = ours(frame.f_back)
        if reader is not None:
            found.add(f"{reader.f_globals['__name__']}:{reader.f_code.co_name}")

    sys.setprofile(look)
    try:
        yield found
    finally:
        sys.setprofile(None)


def test_the_watch_sees_what_reads_a_long_text() -> None:
    from allotrope.graphs.work.sources.gathering import sources_in

    with watched() as found:
        sources_in("http://x")
        assert not found
        sources_in(TEXT)
    assert "allotrope.graphs.work.sources.gathering:sources_in" in found


@pytest.fixture
async def client(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> AsyncIterator[httpx.AsyncClient]:
    simulator.answer_with(lambda asked: "Fine.")
    app = serve_app(simulator_settings, host="127.0.0.1")
    async with app.router.lifespan_context(app):
        await app.state.service.warm()
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as made:
            yield made


async def test_agents_read_long_texts_in_threads(client: httpx.AsyncClient) -> None:
    messages = [{"role": "user", "content": TEXT}]
    with watched() as found:
        for agent in registry.names():
            answer = await client.post(
                "/v1/chat/completions", json={"model": agent, "messages": messages}, timeout=200
            )
            assert answer.status_code in (200, 400)
    assert sorted(found) == []


async def test_histories_and_pages_are_read_in_threads(client: httpx.AsyncClient) -> None:
    said = [
        {"role": ("user", "assistant")[number % 2], "content": TEXT[: LONG_TEXT + number]}
        for number in range(4)
    ]
    asks = {"model": "assistant", "messages": [*said, {"role": "user", "content": "And now?"}]}
    with watched() as found:
        answer = await client.post("/v1/chat/completions", json=asks, timeout=200)
        turn = await client.post("/api/turns", json={"text": TEXT[:LONG_TEXT]}, timeout=200)
        thread = json.loads(turn.text.partition("\n")[0])["thread_id"]
        shown = await client.get(f"/api/threads/{thread}")
    assert {answer.status_code, turn.status_code, shown.status_code} == {200}
    assert sorted(found) == []


async def test_bodies_of_many_values_are_refused_unread(client: httpx.AsyncClient) -> None:
    with watched() as found:
        answer = await client.post("/v1/chat/completions", content=b"[" + b"[]," * 200_000)
    assert answer.status_code == 413
    assert "100,000 commas and brackets" in answer.json()["error"]["message"]
    assert sorted(found) == []
