"""The state machine alone: examples, and hypothesis against a model of what must always hold."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from allotrope.models.breaker import machine as breaker
from allotrope.models.breaker.facts import CallOutcome, Circuit, Rules

RULES = Rules()


def fail(circuit: Circuit, now: float, **more: Any) -> Circuit:
    outcome = CallOutcome(kind="failure", error="X", generation=circuit.generation, **more)
    return breaker.record(circuit, outcome, rules=RULES, now=now)


def succeed(circuit: Circuit, now: float, **more: Any) -> Circuit:
    outcome = CallOutcome(kind="success", generation=circuit.generation, **more)
    return breaker.record(circuit, outcome, rules=RULES, now=now)


def opened(now: float = 1000.0) -> Circuit:
    circuit = Circuit(name="c")
    for _ in range(RULES.consecutive):
        circuit = fail(circuit, now)
    assert circuit.state == "open"
    return circuit


def probe(circuit: Circuit, now: float, owner: str = "me") -> Circuit:
    after, ticket = breaker.admit(circuit, now=now, owner=owner, lease_s=10)
    assert ticket.granted
    assert ticket.owner == owner
    return after


def test_a_row_of_failures_opens_and_one_success_starts_the_row_anew() -> None:
    circuit = fail(fail(Circuit(name="c"), 0), 0)
    assert circuit.state == "closed"
    circuit = fail(fail(succeed(circuit, 1), 1), 1)
    assert circuit.state == "closed"
    assert fail(circuit, 1).state == "open"


def test_a_rate_of_failures_opens_only_with_enough_calls() -> None:
    circuit = Circuit(name="c")
    for i in range(9):
        circuit = fail(circuit, 10) if i % 2 else succeed(circuit, 10)
    assert circuit.state == "closed"
    circuit = fail(circuit, 10)
    assert circuit.state == "open"
    assert circuit.reason == "failure_rate (X)"


def test_what_left_the_window_does_not_count() -> None:
    circuit = Circuit(name="c")
    for i in range(8):
        circuit = fail(circuit, 0) if i % 2 else succeed(circuit, 0)
    late = RULES.window_s + 6
    assert breaker.measure(circuit, rules=RULES, now=late).calls == 0
    circuit = fail(succeed(circuit, late), late)
    assert circuit.state == "closed"


def test_slow_answers_open_too() -> None:
    circuit = Circuit(name="c")
    for _ in range(RULES.minimum_calls):
        circuit = breaker.record(circuit, CallOutcome(kind="slow"), rules=RULES, now=5)
    assert (circuit.state, circuit.reason) == ("open", "slow_rate")


def test_breaks_grow_and_shrink_with_calm() -> None:
    circuit, lengths, now = opened(), [], 1000.0
    for _ in range(4):
        lengths.append(circuit.opened_until - now)
        now = circuit.opened_until
        circuit = fail(probe(circuit, now), now, owner="me")
    assert lengths == [10, 30, 60, 60]
    now = circuit.opened_until
    closed = succeed(probe(circuit, now), now, owner="me")
    assert closed.state == "closed"
    soon = replace(closed, consecutive=2)
    after = {calm: fail(soon, now + calm).opened_until - now - calm for calm in (10, 35, 65, 95)}
    assert after == {10: 60, 35: 60, 65: 30, 95: 10}  # flapping keeps its long break


def test_short_outages_apart_are_short_breaks() -> None:
    """One of eight seconds every two minutes, and a rate limit in between: no break grows."""
    circuit, now = Circuit(name="c"), 0.0
    for _ in range(8):
        circuit = fail(replace(circuit, consecutive=2), now)
        assert circuit.opened_until - now == 10
        now = circuit.opened_until
        circuit = succeed(probe(circuit, now), now, owner="me")
        now += 50
        circuit = fail(circuit, now, opens_for_s=1.0)
        circuit = succeed(probe(circuit, now + 1), now + 1, owner="me")
        now += 60


def test_a_break_is_never_shorter_than_retry_after() -> None:
    circuit = replace(Circuit(name="c"), consecutive=2)
    assert fail(circuit, 0, floor_s=75.0).opened_until == 75.0
    limited = fail(Circuit(name="c"), 0, opens_for_s=2.0, floor_s=2.0)
    assert (limited.state, limited.opened_until, limited.trips) == ("open", 2.0, 0)


def test_a_probe_that_fails_after_a_short_wait_climbs_the_ladder() -> None:
    """A 429 that names 120 ms, again and again, must not cost a request every 120 ms."""
    limited = fail(Circuit(name="c"), 0, opens_for_s=0.12)
    first = fail(probe(limited, 1), 1, owner="me", opens_for_s=0.12)
    assert (first.state, first.opened_until) == ("open", 11.0)
    second = fail(probe(first, 11), 11, owner="me", opens_for_s=0.12)
    assert second.opened_until == 41.0
    patient = fail(probe(limited, 1), 1, owner="me", opens_for_s=90.0)
    assert patient.opened_until == 91.0  # what the provider asks for is still the least


def test_jitter_only_lengthens() -> None:
    outcome = CallOutcome(kind="failure", error="X", opens_for_s=100.0)
    for chance in (0.0, 0.5, 0.999):
        circuit = breaker.record(Circuit(name="c"), outcome, rules=RULES, now=0, chance=chance)
        assert circuit.opened_until == pytest.approx(100 * (1 + 0.1 * chance))


def test_one_probe_at_a_time_and_a_lost_one_is_replaced() -> None:
    circuit = probe(opened(), 1030)
    again, ticket = breaker.admit(circuit, now=1035, owner="other", lease_s=10)
    assert not ticket.granted
    assert again == circuit
    taken = probe(circuit, 1041, owner="other")
    assert succeed(taken, 1042, owner="me") == taken  # the lost one's word comes too late
    assert succeed(taken, 1042, owner="other").state == "closed"


def test_a_cancelled_probe_gives_its_lease_back() -> None:
    circuit = probe(opened(), 1030)
    freed = breaker.record(circuit, CallOutcome(kind="nothing", owner="me"), rules=RULES, now=1031)
    assert freed.state == "half_open"
    assert probe(freed, 1031, owner="other").probe_owner == "other"


def test_successes_to_close() -> None:
    rules = replace(RULES, successes_to_close=2)
    circuit = probe(opened(), 1030)
    circuit = breaker.record(
        circuit, CallOutcome(kind="success", owner="me"), rules=rules, now=1031
    )
    assert circuit.state == "half_open"
    circuit = probe(circuit, 1032)
    circuit = breaker.record(
        circuit, CallOutcome(kind="success", owner="me"), rules=rules, now=1033
    )
    assert circuit.state == "closed"


def test_a_late_word_about_no_credit_lengthens_the_break() -> None:
    circuit = fail(opened(), 1001, opens_for_s=3600.0)
    assert circuit.opened_until == 4601
    assert fail(circuit, 1002) == circuit


def test_a_late_failure_from_before_the_recovery_does_not_count() -> None:
    old = opened()
    closed = succeed(probe(old, 1030), 1031, owner="me")
    outcome = CallOutcome(kind="failure", error="X", generation=old.generation, opens_for_s=9.0)
    assert breaker.record(closed, outcome, rules=RULES, now=1032) == closed


def test_an_operator_has_the_last_word() -> None:
    held = breaker.isolate(Circuit(name="c"), now=0)
    assert not breaker.admit(held, now=1e9, owner="x", lease_s=1)[1].granted
    assert succeed(held, 1) == held
    let = breaker.disable(opened(), now=0)
    assert breaker.admit(let, now=0, owner="x", lease_s=1)[1].granted
    assert fail(let, 1) == let
    closed = breaker.reset(held, now=5)
    assert (closed.state, closed.generation, closed.since) == ("closed", 1, 5)


def test_what_was_learnt_alone_is_brought_back() -> None:
    local, shared = opened(), Circuit(name="c", version=7)
    merged = breaker.merge(local, shared)
    assert (merged.state, merged.version, merged.opened_until) == ("open", 7, local.opened_until)
    assert breaker.merge(Circuit(name="c"), opened()).state == "open"
    assert breaker.merge(local, breaker.isolate(shared, now=1)).state == "isolated"


def ask_last(circuit: Circuit, now: float, *, local: bool, owner: str = "me") -> Any:
    return breaker.admit_last(
        circuit, now=now, owner=owner, lease_s=10, local=local, early_s=RULES.early_s
    )


def test_when_nobody_else_can_answer_a_hosted_model_is_probed_early_but_spaced() -> None:
    fresh = opened(1000.0)
    assert not ask_last(fresh, 1001, local=False)[1].granted
    early, ticket = ask_last(fresh, 1003, local=False)
    assert ticket.owner
    assert not ask_last(early, 1003.1, local=False, owner="you")[1].granted
    failed = fail(early, 1004, owner="me")
    assert (failed.state, failed.opened_until, failed.trips) == ("open", fresh.opened_until, 1)
    assert not ask_last(failed, 1005, local=False)[1].granted
    assert succeed(ask_last(failed, 1007, local=False)[0], 1008, owner="me").state == "closed"


def test_when_nobody_else_can_answer_a_local_model_takes_every_call() -> None:
    early, first = ask_last(opened(1000.0), 1000.1, local=True)
    second = ask_last(early, 1000.2, local=True, owner="you")[1]
    assert first.owner
    assert second.granted
    assert second.owner is None
    assert succeed(early, 1000.5, owner="me").state == "closed"


class AnyHistory(RuleBasedStateMachine):
    """Random calls, outcomes, waits and operators; the promises hold after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.rules = Rules(minimum_calls=4, breaks_s=(5.0, 10.0), window_s=10.0, buckets=5)
        self.circuit = Circuit(name="c")
        self.now = 1000.0
        self.running: list[breaker.Ticket] = []
        self.count = 0
        self.floor = 0.0

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(local=st.booleans())
    def call_last(self, local: bool) -> None:
        self.count += 1
        before = self.circuit
        self.circuit, ticket = breaker.admit_last(
            before, now=self.now, owner=str(self.count), lease_s=7.0, local=local, early_s=2.0
        )
        if before.state == "isolated":
            assert not ticket.granted
        elif local or before.state in ("closed", "disabled"):
            assert ticket.granted
        if not ticket.granted:
            assert self.circuit == before
            return
        self.running.append(ticket)

    @rule()
    def call(self) -> None:
        self.count += 1
        before = self.circuit
        self.circuit, ticket = breaker.admit(
            before, now=self.now, owner=str(self.count), lease_s=7.0
        )
        if before.state == "isolated" or (
            before.state == "open" and self.now < before.opened_until
        ):
            assert not ticket.granted
        if before.state in ("closed", "disabled"):
            assert ticket.granted
        if before.state == "half_open":  # one leased probe, no more, and a lost one is replaced
            leased = before.probe_owner is not None and self.now < before.probe_until
            assert ticket.granted == (not leased)
            assert not ticket.granted or ticket.owner == self.circuit.probe_owner
        if not ticket.granted:
            assert self.circuit == before
            return
        self.running.append(ticket)

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 10**6),
        kind=st.sampled_from(["success", "slow", "failure", "failure", "nothing"]),
        opens_for_s=st.one_of(st.none(), st.floats(0.1, 100)),
        floor_s=st.floats(0, 50),
        chance=st.floats(0, 1, exclude_max=True),
    )
    def end(
        self, which: int, kind: Any, opens_for_s: float | None, floor_s: float, chance: float
    ) -> None:
        ticket = self.running.pop(which % len(self.running))
        before = self.circuit
        outcome = CallOutcome(
            kind=kind,
            owner=ticket.owner,
            generation=ticket.generation,
            opens_for_s=opens_for_s if kind == "failure" else None,
            floor_s=floor_s if kind == "failure" else 0.0,
            error="X" if kind == "failure" else None,
        )
        self.circuit = breaker.record(
            before, outcome, rules=self.rules, now=self.now, chance=chance
        )
        after = self.circuit
        if kind == "nothing":
            assert (after.state, after.consecutive, after.buckets) == (
                before.state,
                before.consecutive,
                before.buckets,
            )
        if after.state == "open" and before.state != "open":
            assert kind in ("failure", "slow")
            early = before.state == "half_open" and self.now < before.opened_until
            least = opens_for_s if outcome.opens_for_s else self.rules.breaks_s[0]
            if early and not outcome.opens_for_s:
                assert after.opened_until >= before.opened_until
            else:
                assert after.opened_until >= self.now + max(least or 0.0, outcome.floor_s) - 1e-6
        if before.state == "open":
            assert after.state == "open"
            assert after.opened_until >= before.opened_until
        if before.state == "half_open" and after.state != "half_open" and not opens_for_s:
            assert ticket.owner == before.probe_owner

    @precondition(lambda self: self.circuit.state == "closed")
    @rule()
    def outage(self) -> None:
        """So many failures that it opens; by chance alone this comes too seldom."""
        while self.circuit.state == "closed":
            self.call()
            self.end(len(self.running) - 1, "failure", None, 0.0, 0.0)

    @precondition(lambda self: self.circuit.state == "open")
    @rule()
    def probe(self) -> None:
        """The break is over, and somebody calls."""
        self.now = max(self.now, self.circuit.opened_until)
        self.call()
        assert self.circuit.state == "half_open"

    @rule(what=st.sampled_from(["isolate", "disable", "reset", "reset", "reset"]))
    def operate(self, what: str) -> None:
        if what == "isolate":
            self.circuit = breaker.isolate(self.circuit, now=self.now)
        elif what == "disable":
            self.circuit = breaker.disable(self.circuit, now=self.now)
        else:
            self.circuit = breaker.reset(self.circuit, now=self.now)

    @invariant()
    def sound(self) -> None:
        circuit = self.circuit
        if circuit.state == "closed":
            assert circuit.consecutive < self.rules.consecutive
            assert circuit.probe_owner is None
        if circuit.state == "open":
            assert circuit.probe_owner is None
        leases = [t for t in self.running if t.owner and t.owner == circuit.probe_owner]
        assert len(leases) <= 1
        assert len(circuit.errors) <= breaker.KEPT_ERRORS
        assert len(circuit.buckets) <= self.rules.buckets


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=40)
