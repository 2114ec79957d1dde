"""`/healthz` tells the truth, at once, whatever this process is busy with."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from allotrope.settings import Settings
from allotrope.support.pools import HEALTH, KEYS, PAGES, SOURCES, TURNS, Pool, pools
from allotrope.testing import ProviderSimulator
from allotrope.web.apps import serve_app
from allotrope.web.health import checks as health
from allotrope.web.health.heartbeat import BEAT_S, LATE_S, Heartbeat


@pytest.fixture
async def app(simulator_settings: Settings) -> AsyncIterator[Any]:
    """The app, ready for a turn, in the test's own event loop."""
    made = serve_app(simulator_settings, host="127.0.0.1")
    async with made.router.lifespan_context(made):
        await made.state.service.warm()
        yield made


@pytest.fixture
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as made:
        yield made


@contextlib.contextmanager
def filled(pool: Pool) -> Iterator[None]:
    """As much work in a pool as it takes; it ends with the block."""
    over = threading.Event()
    held = pool.use()
    room = pool.threads + pool.waiting - held.running - held.waiting
    futures = [pool.executor.submit(over.wait) for _ in range(room)]
    try:
        yield
    finally:
        over.set()
        for future in futures:
            future.result()


@pytest.mark.parametrize("pool", [SOURCES, PAGES, TURNS])
async def test_a_full_pool_is_told_and_others_work(client: httpx.AsyncClient, pool: Pool) -> None:
    with filled(pool):
        answer = await client.get("/healthz")
        status = (await client.get("/status")).json()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert (answer.json()["status"], answer.json()["full"]) == ("unhealthy", [pool.name])
    assert status["pools"][pool.name]["full"]
    assert any(pool.does in sentence for sentence in status["degraded"])
    assert "full" not in (await client.get("/healthz")).json()


async def test_what_is_too_much_is_refused_with_its_kind_and_a_time(
    client: httpx.AsyncClient,
) -> None:
    with filled(PAGES):
        refused = await client.get("/api/threads")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"
    assert "pages and lists of threads" in refused.json()["error"]["message"]


async def test_a_turn_is_answered_while_files_pages_and_keys_are_full(
    client: httpx.AsyncClient, simulator: ProviderSimulator
) -> None:
    simulator.answer_with(lambda asked: "Fine.")
    asks = {"model": "assistant", "messages": [{"role": "user", "content": "How are you?"}]}
    with filled(SOURCES), filled(PAGES), filled(KEYS):
        answer = await client.post("/v1/chat/completions", json=asks)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "Fine."


async def test_a_look_that_takes_too_long_is_told_as_that(
    app: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 0.05)
    over = threading.Event()
    monkeypatch.setattr(app.state.service.shortages, "lacking", lambda: over.wait() and [])
    try:
        answer = await client.get("/healthz")
    finally:
        over.set()
    assert (answer.status_code, answer.json()["slow"]) == (503, ["disk"])


async def test_health_that_is_asked_for_too_often_says_so(client: httpx.AsyncClient) -> None:
    with filled(HEALTH):
        answer = await client.get("/healthz")
    said = answer.json()
    assert (said["status"], said["full"]) == ("unhealthy", ["health"])
    assert said["slow"] == ["stores", "disk"]


async def test_an_event_loop_that_was_held_up_is_told(
    app: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.state.service.shortages._noted.clear()
    assert "short_of" not in (await client.get("/healthz")).json()
    monkeypatch.setattr("allotrope.web.health.heartbeat.LATE_S", 0.05)
    time.sleep(BEAT_S + 0.1)  # noqa: ASYNC251  # holding the event loop up is the point
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()["short_of"]) == (503, ["time"])
    assert (await client.get("/status")).json()["loop_lag_s"] > 0


async def test_a_heartbeat_knows_how_late_the_loop_is_now_and_was() -> None:
    clock = [0.0]
    told: list[float] = []
    heart = Heartbeat(told.append, clock=lambda: clock[0])
    heart.start()
    try:
        heart.look()
        assert (heart.lag_s(), told) == (0.0, [])
        clock[0] = BEAT_S + LATE_S + 1
        heart.look()
        assert heart.lag_s() == pytest.approx(LATE_S + 1)
        await asyncio.sleep(2 * BEAT_S)
        assert told == pytest.approx([LATE_S + 1] * 2)
        assert heart.lag_s() == pytest.approx(LATE_S + 1)
    finally:
        heart.stop()
    clock[0] += 1_000
    assert heart.lag_s() == pytest.approx(LATE_S + 1)


def test_every_kind_of_work_has_a_name_of_its_own() -> None:
    names = [pool.name for pool in pools()]
    assert len(set(names)) == len(names)
