"""What this process itself lacks is told as ours, and trips no breaker."""

import asyncio
import errno
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from allotrope.exceptions import AllProvidersFailedError, OwnShortageError, ProviderTimeoutError
from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.facts import CallOutcome, Circuit, Rules
from allotrope.models.breaker.machine import admit, record
from allotrope.models.breaker.permits import Permit
from allotrope.models.chain import FailoverChain, build_chain
from allotrope.models.failures.errors import classify
from allotrope.models.failures.policy import UNREACHABLE_S, policy
from allotrope.models.waiting import stalls
from allotrope.models.waiting.stalls import STALLS, Stalls
from allotrope.settings import load_settings
from allotrope.testing import ProviderSimulator

LACKS = [
    (OSError(errno.EMFILE, "Too many open files"), "descriptors"),
    (OSError(errno.ENFILE, "Too many open files in system"), "descriptors"),
    (OSError(errno.ENOSPC, "No space left on device"), "disk"),
    (MemoryError(), "memory"),
]


@pytest.fixture(autouse=True)
def no_stalls() -> Iterator[None]:
    STALLS.clear()
    yield
    STALLS.clear()


@pytest.mark.parametrize(("cause", "lack"), LACKS)
def test_our_own_lack_is_no_providers_failure(cause: Exception, lack: str) -> None:
    class ConnectError(Exception):
        """As httpx wraps it."""

    wrapped = ConnectError("All connection attempts failed")
    wrapped.__cause__ = ExceptionGroup("several addresses", [cause])
    error = classify(wrapped, provider="openai", model="o3")
    assert type(error) is OwnShortageError
    assert error.code == lack
    assert policy(error).counts == "nothing"
    assert policy(error).failover


def chain_on(sim: Any, circuits: Circuits, **openai: Any) -> FailoverChain:
    settings = load_settings(
        environ={},
        env_file=None,
        openai={"api_key": "sk-simulator", "base_url": sim.openai_url, **openai},
        ollama={"enabled": False},
        embedded={"enabled": False},
        resilience={"attempts": 1},
    )
    return build_chain(settings, circuits=circuits)


SHORT_OF_DESCRIPTORS = """
import asyncio, os, resource, sys
from tests.models.breaker.test_own_shortages import chain_on
from allotrope.exceptions import AllProvidersFailedError
from allotrope.models.breaker.circuits import Circuits

class At:
    def __init__(self, url):
        self.openai_url = url

async def main(warm, other):
    first = chain_on(At(warm), Circuits())  # kept: its connections would be free descriptors
    await first.ainvoke("whatever is loaded late is loaded now")
    circuits = Circuits()
    chain = chain_on(At(other), circuits)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    for number in range(4):
        taken = []
        for _ in range(3):  # work in other threads may give one back meanwhile
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                await asyncio.sleep(0.3)
        try:
            await chain.ainvoke(f"question {number}")
        except AllProvidersFailedError as exc:
            told = type(exc.causes[0]).__name__, exc.causes[0].code, "ulimit -n" in str(exc)
        else:
            told = "answered"
        for descriptor in taken:
            os.close(descriptor)
        print(told, {circuits.look(name).state for name in circuits.names()} - {"closed"})
    print(bool((await chain.ainvoke("and now?")).text))

asyncio.run(main(*sys.argv[1:]))
"""


def test_no_descriptors_left_open_no_circuit() -> None:
    with ProviderSimulator() as warm, ProviderSimulator() as sim:
        done = subprocess.run(
            [sys.executable, "-c", SHORT_OF_DESCRIPTORS, warm.openai_url, sim.openai_url],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    told = "('OwnShortageError', 'descriptors', True) set()"
    assert done.stdout.splitlines() == [told] * 4 + ["True"], done.stderr[-2000:]


async def test_timeouts_while_the_process_stood_still_open_no_circuit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalls, "LATE_S", 0.5)
    monkeypatch.setattr(stalls, "BEAT_S", 0.05)
    circuits = Circuits()
    with ProviderSimulator() as sim:
        chain = chain_on(sim, circuits, timeout_s=1.0, first_token_timeout_s=1.0)
        sim.faults.add("hang")
        asking = [asyncio.create_task(chain.ainvoke(f"question {n}")) for n in range(4)]
        while len(sim.chats()) < 4:  # noqa: ASYNC110  # a simulator has no event to wait for
            await asyncio.sleep(0.01)
        time.sleep(3)  # noqa: ASYNC251  # the event loop is blocked, as by SIGSTOP
        errors = await asyncio.gather(*asking, return_exceptions=True)
    for error in errors:
        assert isinstance(error, AllProvidersFailedError)
        assert isinstance(error.causes[0], OwnShortageError)
    assert all(circuits.look(name).state == "closed" for name in circuits.names())


async def test_a_provider_that_is_silent_is_still_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    with ProviderSimulator() as sim:
        chain = chain_on(sim, Circuits(), timeout_s=0.2, first_token_timeout_s=0.2)
        sim.faults.add("hang")
        with pytest.raises(AllProvidersFailedError) as failed:
            await chain.ainvoke("hello")
    assert isinstance(failed.value.causes[0], ProviderTimeoutError)


def test_a_stopped_process_knows_that_it_stood_still() -> None:
    script = (
        "import asyncio, time\n"
        "from allotrope.models.waiting.stalls import STALLS\n"
        "async def main():\n"
        "    STALLS.watch(asyncio.get_running_loop())\n"
        "    began = time.monotonic()\n"
        "    print('up', flush=True)\n"
        "    while not STALLS.stood_still_s(began):\n"
        "        await asyncio.sleep(0.05)\n"
        "    print(STALLS.to_blame(began))\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == b"True\n"


def test_standing_still_is_to_blame_only_for_what_it_took() -> None:
    now = 100.0
    seen = Stalls(clock=lambda: now)
    seen.note(10.0, 11.0)
    assert seen.stood_still_s(0.0) == 0.0, "a busy machine is late at times"
    seen.note(40.0, 60.0)
    assert seen.stood_still_s(50.0) == 10.0
    now = 80.0
    assert seen.to_blame(40.0)
    assert not seen.to_blame(30.0)
    assert not seen.to_blame(61.0)


def test_short_outages_of_the_connection_one_after_another_hold_nobody_for_minutes() -> None:
    rules, now, circuit = Rules(), 1000.0, Circuit(name="openai")
    for _ in range(5):
        for _ in range(rules.consecutive):
            error = classify(ConnectionRefusedError(), provider="openai", model="o3")
            failure = CallOutcome(
                kind="failure", generation=circuit.generation, at_most_s=policy(error).at_most_s
            )
            circuit = record(circuit, failure, rules=rules, now=now, chance=1.0)
        assert circuit.state == "open"
        assert circuit.opened_until - now <= UNREACHABLE_S * (1 + rules.jitter)
        now = circuit.opened_until
        circuit, ticket = admit(circuit, now=now, owner="probe", lease_s=60)
        success = CallOutcome(kind="success", owner="probe", generation=ticket.generation)
        circuit = record(circuit, success, rules=rules, now=now)
        assert circuit.state == "closed"
        now += 20


def test_a_probe_that_speaks_closes_the_circuit_before_its_answer_ends() -> None:
    now = 1000.0
    circuits = Circuits(clock=lambda: now, chance=lambda: 0.0)
    circuits.trip("openai", reason="TestError")
    now += 31
    probe: Permit = circuits.admit("openai", "o3", lease_s=300)
    assert probe.is_probe
    probe.spoke()
    assert circuits.look("openai").state == "closed"
    assert not circuits.admit("openai", "o3", lease_s=300).is_probe
    probe.succeed()
    assert circuits.look("openai").state == "closed"
