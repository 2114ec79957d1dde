"""Circuits at work: alone, on a real Redis, in two processes, and through the loss of Redis."""

import asyncio
import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from allotrope import exceptions as ours
from allotrope.models.breaker import machine as breaker
from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.facts import CallOutcome, Circuit, Rules
from allotrope.models.breaker.permits import circuit_name, deployment_of, shown_name
from allotrope.models.breaker.store import LocalStore, RedisStore, decode, encode
from allotrope.settings import Settings
from allotrope.stores.redis.client import open_redis
from allotrope.stores.redis.server import EmbeddedServer


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def error(kind: type[ours.ProviderError], **more: Any) -> ours.ProviderError:
    return kind("x", provider="openai", model="o3", **more)


DOWN = error(ours.ProviderUnavailableError, status=503)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["local", "redis"])
def circuits(
    request: pytest.FixtureRequest, clock: Clock, redis_settings: Settings
) -> Iterator[Circuits]:
    shared = None
    if request.param == "redis":
        client = open_redis(redis_settings)
        shared = RedisStore(
            client, prefix=redis_settings.redis.prefix, clock=clock, server_time=False
        )
    made = Circuits(shared=shared, clock=clock, chance=lambda: 0.0)
    yield made
    made.close()


def admit(circuits: Circuits, model: str = "o3") -> Any:
    return circuits.admit("openai", model, lease_s=10)


def state(circuits: Circuits, name: str = "openai/o3") -> str:
    circuits._snapshots.clear()
    return circuits.look(name).state


def test_failures_open_the_models_circuit_and_a_probe_closes_it(
    circuits: Circuits, clock: Clock
) -> None:
    for _ in range(3):
        admit(circuits).fail(DOWN)
    with pytest.raises(ours.CircuitOpenError) as held:
        admit(circuits)
    assert held.value.retry_after_s == pytest.approx(10)
    assert held.value.code == "ProviderUnavailableError"
    admit(circuits, "o4-mini").succeed()  # a sibling is not held back
    clock.now += 31
    probe = admit(circuits)
    assert probe.is_probe
    with pytest.raises(ours.CircuitOpenError):
        admit(circuits)
    probe.succeed()
    assert state(circuits) == "closed"
    admit(circuits).succeed()


def test_a_dead_network_opens_the_provider(circuits: Circuits) -> None:
    for _ in range(3):
        admit(circuits).fail(error(ours.ProviderUnreachableError, code="connect"))
    with pytest.raises(ours.CircuitOpenError):
        admit(circuits, "o4-mini")
    assert (state(circuits, "openai"), state(circuits, "openai/o3")) == ("open", "closed")


def test_no_credit_opens_the_provider_for_an_hour(circuits: Circuits, clock: Clock) -> None:
    admit(circuits).fail(error(ours.QuotaExhaustedError))
    with pytest.raises(ours.CircuitOpenError) as held:
        admit(circuits, "o4-mini")
    assert held.value.retry_after_s == pytest.approx(3600)


def test_what_is_not_the_providers_fault_never_trips(circuits: Circuits) -> None:
    for kind in (
        ours.RequestRejectedError,
        ours.ContentRefusedError,
        ours.ContextOverflowError,
        ours.MalformedReplyError,
        ours.UnexpectedProviderError,
    ):
        for _ in range(12):
            admit(circuits).fail(error(kind))
    for _ in range(12):
        admit(circuits).fail(ours.BudgetExceededError("x"))
        admit(circuits).fail(asyncio.CancelledError())
    assert (state(circuits), state(circuits, "openai")) == ("closed", "closed")


def test_a_probe_that_is_rejected_or_cancelled_frees_the_lease(
    circuits: Circuits, clock: Clock
) -> None:
    for _ in range(3):
        admit(circuits).fail(DOWN)
    clock.now += 31
    admit(circuits).give_back()
    admit(circuits).fail(error(ours.RequestRejectedError))
    again = admit(circuits)
    assert again.is_probe
    again.succeed()
    again.fail(DOWN)  # a permit ends once
    assert state(circuits) == "closed"


def test_a_provider_probe_is_given_back_when_the_model_is_held(
    circuits: Circuits, clock: Clock
) -> None:
    for _ in range(3):
        admit(circuits).fail(error(ours.ProviderUnreachableError, code="connect"))
    circuits.isolate("openai/o3")
    clock.now += 31
    with pytest.raises(ours.CircuitOpenError) as held:
        admit(circuits)
    assert held.value.code == "isolated"
    assert admit(circuits, "o4-mini").is_probe


def test_an_operator_isolates_and_resets(circuits: Circuits) -> None:
    circuits.isolate("openai")
    with pytest.raises(ours.CircuitOpenError):
        admit(circuits)
    assert "openai" in circuits.names()
    circuits.reset("openai")
    admit(circuits).succeed()
    circuits.disable("openai/o3")
    for _ in range(5):
        admit(circuits).fail(DOWN)
    admit(circuits).give_back()


def test_many_successes_count_in_the_rate(circuits: Circuits) -> None:
    for i in range(30):
        permit = admit(circuits)
        permit.fail(DOWN) if i % 3 == 0 else permit.succeed(first_token_s=0.1)
    assert state(circuits) == "closed"
    rates = breaker.measure(circuits.look("openai/o3"), rules=circuits.rules, now=circuits.now())
    assert rates.failure_rate <= 0.5


async def test_the_same_asynchronously(circuits: Circuits, clock: Clock) -> None:
    for _ in range(3):
        await (await circuits.aadmit("openai", "o3", lease_s=10)).afail(DOWN)
    with pytest.raises(ours.CircuitOpenError):
        await circuits.aadmit("openai", "o3", lease_s=10)
    clock.now += 31
    probe = await circuits.aadmit("openai", "o3", lease_s=10)
    assert probe.is_probe
    await probe.asucceed()
    assert state(circuits) == "closed"


def test_switched_off_it_lets_everything_pass(clock: Clock) -> None:
    circuits = Circuits(clock=clock, enabled=False)
    for _ in range(10):
        admit(circuits).fail(DOWN)
    assert circuits.names() == []


def test_listeners_hear_of_changes(circuits: Circuits) -> None:
    heard: list[tuple[str, str, str]] = []
    circuits.listeners.append(lambda b, a: heard.append((a.name, b.state, a.state)))
    for _ in range(3):
        admit(circuits).fail(DOWN)
    assert heard == [("openai/o3", "closed", "open")]


def test_names_and_accounts() -> None:
    first = deployment_of("https://api", "sk-secret")
    assert first != deployment_of("https://api", "sk-other")
    name = circuit_name("openai", "o3", deployment=first)
    assert "secret" not in name
    assert shown_name(name) == "openai/o3"
    assert shown_name(circuit_name("openai", deployment=first)) == "openai"


@pytest.fixture
def store(redis_settings: Settings, clock: Clock) -> Iterator[RedisStore]:
    client = open_redis(redis_settings)
    made = RedisStore(client, prefix=redis_settings.redis.prefix, clock=clock, server_time=False)
    yield made
    made.close()


def test_both_stores_keep_the_same_circuit_through_any_history(
    store: RedisStore, clock: Clock
) -> None:
    random_ = random.Random(7)
    local = LocalStore(clock=clock)
    rules = Rules(minimum_calls=4)
    for step in range(150):
        clock.now += random_.random() * 20
        before = store.load("c")
        assert before == local.load("c")
        after, ticket = breaker.admit(before, now=clock.now, owner=str(step), lease_s=5)
        kind: Any = random_.choice(["success", "slow", "failure", "failure", "nothing"])
        after = breaker.record(
            after,
            CallOutcome(kind=kind, owner=ticket.owner, generation=after.generation, error="É"),
            rules=rules,
            now=clock.now,
            chance=random_.random(),
        )
        assert store.swap(before, after) is None
        assert local.swap(before, after) is None
        beaten = store.swap(before, after)
        assert beaten is not None
        assert beaten.version == before.version + 1


def test_a_broken_hash_counts_as_new(store: RedisStore, redis_settings: Settings) -> None:
    client = open_redis(redis_settings)
    assert client is not None
    key = f"{redis_settings.redis.prefix}breaker:c"
    for field, value in (("state", "??"), ("version", "x"), ("buckets", "[[")):
        assert store.swap(store.load("c"), Circuit(name="c", trips=1)) is None
        client.hset(key, field, value)
        assert store.load("c").trips == 0
        assert store.swap(store.load("c"), Circuit(name="c")) is None
    client.close()
    whole = Circuit(name="c", buckets=(breaker.Bucket(3, 1, 2, 3),), errors=(breaker.Seen(1, "E"),))
    flat = [x.encode() for pair in encode(whole).items() for x in pair]
    assert decode("c", flat) == whole
    assert decode("c", encode(whole)) == whole


def test_threads_agree_on_one_probe(circuits: Circuits, clock: Clock) -> None:
    for _ in range(3):
        admit(circuits).fail(DOWN)
    clock.now += 31
    granted: list[Any] = []

    def try_it() -> None:
        with contextlib.suppress(ours.CircuitOpenError):
            granted.append(admit(circuits))

    threads = [threading.Thread(target=try_it) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 1


def test_the_clock_of_the_server_counts(redis_settings: Settings) -> None:
    store = RedisStore(
        open_redis(redis_settings), prefix=redis_settings.redis.prefix, clock=lambda: 5.0
    )
    store.load("c")
    assert store.now() > 1_600_000_000
    store.close()


OTHER = """
import json, sys
from allotrope.exceptions import CircuitOpenError, ProviderUnavailableError
from allotrope.models.breaker.store import RedisStore
from allotrope.models.breaker.circuits import Circuits
from allotrope.settings import load_settings
from allotrope.stores.redis.client import open_redis
import time
url, prefix = sys.argv[1:]
settings = load_settings(environ={}, env_file=None, redis={"url": url, "prefix": prefix})
store = RedisStore(open_redis(settings), prefix=prefix, clock=time.time)
circuits = Circuits(shared=store)
for line in sys.stdin:
    said = "?"
    try:
        permit = circuits.admit("openai", "o3", lease_s=10)
        word = line.strip()
        said = "probe" if permit.is_probe else "granted"
        if word == "fail":
            permit.fail(ProviderUnavailableError("x", provider="openai", model="o3"))
        elif word == "succeed":
            permit.succeed()
        elif word == "ask":
            permit.give_back()
        elif word == "hold":
            held = permit
    except CircuitOpenError as exc:
        said = "held"
    print(said, flush=True)
"""


def test_two_processes_share_one_circuit(redis_settings: Settings) -> None:
    url, prefix = redis_settings.redis.url, redis_settings.redis.prefix
    assert url is not None
    client = open_redis(redis_settings)
    rules = Rules(breaks_s=(0.3,), jitter=0.0)
    here = Circuits(shared=RedisStore(client, prefix=prefix, clock=time.time), rules=rules)
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, url.get_secret_value(), prefix],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None

        def say(word: str) -> str:
            other.stdin.write(word + "\n")  # type: ignore[union-attr]  # it is a pipe
            other.stdin.flush()  # type: ignore[union-attr]  # it is a pipe
            return other.stdout.readline().strip()  # type: ignore[union-attr]  # it is a pipe

        try:
            assert say("fail") == "granted"
            assert say("fail") == "granted"
            admit(here).fail(DOWN)  # the third in a row, counted over both
            wait_for(lambda: say("ask") == "held")
            threading.Event().wait(0.35)
            probe = admit(here)
            assert probe.is_probe
            wait_for(lambda: say("ask") == "held")
            probe.succeed()
            wait_for(lambda: say("succeed") == "granted")
        finally:
            other.stdin.close()
            other.wait(10)
    here.close()


def wait_for(met: Callable[[], bool]) -> None:
    for _ in range(100):
        if met():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it never came to that")


def test_redis_goes_and_comes_back(
    killable_redis: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    pool = redis.ConnectionPool.from_url(
        killable_redis.url,
        socket_timeout=0.5,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    )
    store = RedisStore(redis.Redis.from_pool(pool), prefix="x:", clock=time.time)
    circuits = Circuits(shared=store, lost_s=0.05)
    admit(circuits).fail(DOWN)
    assert circuits.sharing == "redis"
    pid = killable_redis.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not killable_redis.answers())
    admit(circuits).fail(DOWN)
    wait_for(lambda: circuits.sharing == "lost")
    admit(circuits).fail(DOWN)  # the count goes on: it is the third in a row
    with pytest.raises(ours.CircuitOpenError):
        admit(circuits)
    killable_redis.ensure()
    wait_for(lambda: circuits.sharing == "redis")
    with pytest.raises(ours.CircuitOpenError):
        admit(circuits)
    assert store.load("openai/o3").state == "open"  # the others know it now
    said = [record.getMessage() for record in caplog.records if record.name == "allotrope.breaker"]
    assert any("breaker state is local" in text for text in said)
    assert any("shared again" in text for text in said)
    circuits.close()


def test_the_healthy_path_makes_no_round_trip(redis_settings: Settings, clock: Clock) -> None:
    store = RedisStore(open_redis(redis_settings), prefix=redis_settings.redis.prefix, clock=clock)
    circuits = Circuits(shared=store, clock=clock, snapshot_s=3600.0)
    admit(circuits).succeed()
    calls: list[int] = []
    run = store._run
    store._run = lambda *a, **k: (  # type: ignore[method-assign]  # counts the round trips
        calls.append(threading.get_ident()) or run(*a, **k)
    )
    for _ in range(200):
        admit(circuits).succeed(first_token_s=0.01)
    assert threading.get_ident() not in calls
    circuits.close()


def test_an_idle_breaker_leaves_redis_alone(redis_settings: Settings) -> None:
    ticks = Clock()
    store = RedisStore(
        open_redis(redis_settings), prefix=redis_settings.redis.prefix, clock=Clock()
    )
    circuits = Circuits(shared=store, ticks=ticks)
    admit(circuits).succeed()
    ticks.now += 60
    assert circuits.tick() is None
    circuits.close()


def test_circuits_are_plain_facts() -> None:
    assert json.dumps(dataclasses.asdict(Circuit(name="c")))
