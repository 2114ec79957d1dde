"""The circuit breaker as a pure state machine: facts in, facts out; no clock, no I/O, no chance.

A circuit is `closed` (calls pass), `open` (calls are held back until `opened_until`), `half_open`
(one leased probe passes), `isolated` (an operator holds it open) or `disabled` (an operator lets
everything pass). Terms and defaults follow Polly, resilience4j and Envoy's outlier detection.
"""

from dataclasses import dataclass, replace

from allotrope.models.breaker.facts import (
    KEPT_ERRORS,
    Bucket,
    CallOutcome,
    Circuit,
    Rules,
    Seen,
    Ticket,
)


def admit(circuit: Circuit, *, now: float, owner: str, lease_s: float) -> tuple[Circuit, Ticket]:
    """Whether a call may go out now.

    Args:
        circuit: The circuit before.
        now: Seconds since the epoch.
        owner: A name for the lease, unique to this call.
        lease_s: How long a probe may take; longer than the call's own timeout.

    Returns:
        The circuit after, and the ticket.
    """
    generation = circuit.generation
    if circuit.state in ("closed", "disabled"):
        return circuit, Ticket(granted=True, generation=generation)
    if circuit.state == "isolated":
        return circuit, Ticket(granted=False, generation=generation)
    if circuit.state == "open" and now < circuit.opened_until:
        wait = circuit.opened_until - now
        return circuit, Ticket(granted=False, generation=generation, retry_after_s=wait)
    if circuit.state == "half_open" and circuit.probe_owner and now < circuit.probe_until:
        return circuit, Ticket(granted=False, generation=generation)
    fresh = circuit.state == "open"
    after = replace(
        circuit,
        state="half_open",
        since=now if fresh else circuit.since,
        probe_owner=owner,
        probe_until=now + lease_s,
        probe_successes=0 if fresh else circuit.probe_successes,
    )
    return after, Ticket(granted=True, owner=owner, generation=generation)


def admit_last(
    circuit: Circuit, *, now: float, owner: str, lease_s: float, local: bool, early_s: float
) -> tuple[Circuit, Ticket]:
    """Whether a call may go out now although the circuit is open, since nobody else can answer.

    An isolated circuit stays so. A hosted model gets one early probe at a time, `early_s` apart; a
    local one takes every call: it belongs to the user, and holding calls back would spare nobody.

    Args:
        circuit: The circuit before.
        now: Seconds since the epoch.
        owner: A name for the lease, unique to this call.
        lease_s: How long a probe may take.
        local: Whether the model runs at the user's.
        early_s: Seconds a circuit must have been open before a probe is let through early.

    Returns:
        The circuit after, and the ticket.
    """
    early = circuit.state == "open" and now < circuit.opened_until
    if early and (local or now - circuit.since >= early_s):
        due = replace(circuit, opened_until=now)
        after, ticket = admit(due, now=now, owner=owner, lease_s=lease_s)
        return replace(after, opened_until=circuit.opened_until), ticket
    after, ticket = admit(circuit, now=now, owner=owner, lease_s=lease_s)
    if not ticket.granted and local and circuit.state == "half_open":
        return circuit, Ticket(granted=True, generation=circuit.generation)
    return after, ticket


def record(
    circuit: Circuit, outcome: CallOutcome, *, rules: Rules, now: float, chance: float = 0.0
) -> Circuit:
    """The circuit after a call.

    Args:
        circuit: The circuit before.
        outcome: How the call went.
        rules: When to open and close.
        now: Seconds since the epoch.
        chance: A random number in [0, 1) for the jitter.
    """
    if circuit.state in ("isolated", "disabled"):
        return circuit
    if outcome.generation != circuit.generation and outcome.kind != "nothing":
        return circuit
    seen = _remember(circuit, outcome, now)
    if circuit.state == "closed":
        return _while_closed(seen, outcome, rules=rules, now=now, chance=chance)
    if circuit.state == "half_open" and outcome.owner and outcome.owner == circuit.probe_owner:
        return _after_probe(seen, outcome, rules=rules, now=now, chance=chance)
    if outcome.kind == "failure" and outcome.opens_for_s:
        # a late word of a call that began before it opened; it may know of a longer wait
        until = now + outcome.opens_for_s
        if circuit.state == "half_open" or until > circuit.opened_until:
            return _opened(seen, outcome, rules=rules, now=now, chance=chance)
    return circuit


def record_many(
    circuit: Circuit, *, ok: int, slow: int, generation: int, rules: Rules, now: float
) -> Circuit:
    """The circuit after several calls that went well, gathered by one process."""
    if circuit.state != "closed" or generation != circuit.generation or ok + slow == 0:
        return circuit
    after = replace(circuit, consecutive=0, buckets=_count(circuit, rules, now, ok=ok, slow=slow))
    return _judged(after, CallOutcome(kind="slow" if slow else "success"), rules=rules, now=now)


def _while_closed(
    circuit: Circuit, outcome: CallOutcome, *, rules: Rules, now: float, chance: float
) -> Circuit:
    if outcome.kind == "nothing":
        return circuit
    if outcome.kind != "failure":
        slow = int(outcome.kind == "slow")
        counted = _count(circuit, rules, now, ok=1 - slow, slow=slow)
        after = replace(circuit, consecutive=0, buckets=counted)
        return _judged(after, outcome, rules=rules, now=now, chance=chance)
    after = replace(
        circuit,
        consecutive=circuit.consecutive + 1,
        buckets=_count(circuit, rules, now, failed=1),
    )
    if outcome.opens_for_s:
        return _opened(after, outcome, rules=rules, now=now, chance=chance)
    return _judged(after, outcome, rules=rules, now=now, chance=chance)


def _judged(
    circuit: Circuit, outcome: CallOutcome, *, rules: Rules, now: float, chance: float = 0.0
) -> Circuit:
    if outcome.kind == "success":
        return circuit
    if circuit.consecutive >= rules.consecutive:
        return _opened(circuit, outcome, rules=rules, now=now, chance=chance)
    rates = measure(circuit, rules=rules, now=now)
    if rates.calls >= rules.minimum_calls:
        if rates.failure_rate >= rules.failure_rate:
            opened = _opened(circuit, outcome, rules=rules, now=now, chance=chance)
            return replace(opened, reason=circuit_reason("failure_rate", outcome.error))
        if rates.slow_rate >= rules.slow_rate:
            opened = _opened(circuit, outcome, rules=rules, now=now, chance=chance)
            return replace(opened, reason="slow_rate")
    return circuit


def circuit_reason(rule: str, error: str | None) -> str:
    """`failure_rate (RateLimitedError)`: the rule that opened it, and the last error."""
    return f"{rule} ({error})" if error else rule


def _after_probe(
    circuit: Circuit, outcome: CallOutcome, *, rules: Rules, now: float, chance: float
) -> Circuit:
    free = replace(circuit, probe_owner=None, probe_until=0.0)
    if outcome.kind == "nothing":
        return free
    if outcome.kind == "failure":
        if now < circuit.opened_until and not outcome.opens_for_s:  # it was early: no step higher
            return replace(free, state="open", since=now, probe_successes=0)
        return _opened(free, outcome, rules=rules, now=now, chance=chance, probed=True)
    successes = circuit.probe_successes + 1
    if successes < rules.successes_to_close:
        return replace(free, probe_successes=successes)
    return replace(
        free,
        state="closed",
        since=now,
        generation=circuit.generation + 1,
        opened_until=0.0,
        probe_successes=0,
        consecutive=0,
        buckets=(),
        reason=None,
    )


def _opened(
    circuit: Circuit,
    outcome: CallOutcome,
    *,
    rules: Rules,
    now: float,
    chance: float,
    probed: bool = False,
) -> Circuit:
    trips = circuit.trips
    if circuit.state == "closed":
        trips = max(0, trips - int((now - circuit.since) // rules.ladder_reset_s))
    length = outcome.opens_for_s or 0.0  # the provider (or the kind of error) says how long
    if probed or not outcome.opens_for_s:  # a probe that fails after such a wait: it was too short
        length = max(length, rules.breaks_s[min(trips, len(rules.breaks_s) - 1)])
        trips = min(trips + 1, len(rules.breaks_s))
    if outcome.at_most_s is not None:
        length = min(length, outcome.at_most_s)
    length = max(length, outcome.floor_s) * (1 + rules.jitter * chance)
    return replace(
        circuit,
        state="open",
        since=now,
        opened_until=now + length,
        trips=trips,
        probe_owner=None,
        probe_until=0.0,
        probe_successes=0,
        reason=outcome.error or circuit.reason,
    )


def _remember(circuit: Circuit, outcome: CallOutcome, now: float) -> Circuit:
    if outcome.kind != "failure" or outcome.error is None:
        return circuit
    seen = Seen(at=round(now, 3), error=outcome.error, code=outcome.code)
    return replace(circuit, errors=(*circuit.errors, seen)[-KEPT_ERRORS:])


def _count(
    circuit: Circuit, rules: Rules, now: float, *, ok: int = 0, failed: int = 0, slow: int = 0
) -> tuple[Bucket, ...]:
    index = int(now // (rules.window_s / rules.buckets))
    kept = [b for b in circuit.buckets if index - rules.buckets < b.index]
    # a clock that went back must not lose counts: they go to the newest bucket
    if not kept or kept[-1].index < index:
        kept.append(Bucket(index))
    last = kept[-1]
    kept[-1] = Bucket(last.index, last.ok + ok, last.failed + failed, last.slow + slow)
    return tuple(kept)


@dataclass(frozen=True)
class Rates:
    """What the window saw."""

    calls: int
    failure_rate: float
    slow_rate: float


def measure(circuit: Circuit, *, rules: Rules, now: float) -> Rates:
    """Calls, share of failures and share of slow calls in the sliding window."""
    index = int(now // (rules.window_s / rules.buckets))
    kept = [b for b in circuit.buckets if index - rules.buckets < b.index]
    failed, slow = sum(b.failed for b in kept), sum(b.slow for b in kept)
    calls = failed + slow + sum(b.ok for b in kept)
    return Rates(calls, failed / calls if calls else 0.0, slow / calls if calls else 0.0)


def trip(circuit: Circuit, *, reason: str, rules: Rules, now: float, chance: float) -> Circuit:
    """Opens a closed circuit for what no single call's end says; others stay as they are."""
    if circuit.state != "closed":
        return circuit
    said = CallOutcome(kind="slow", error=reason)
    return _opened(circuit, said, rules=rules, now=now, chance=chance)


def isolate(circuit: Circuit, *, now: float, reason: str = "isolated by an operator") -> Circuit:
    """Holds the circuit open until `reset`."""
    return replace(circuit, state="isolated", since=now, reason=reason, probe_owner=None)


def disable(circuit: Circuit, *, now: float) -> Circuit:
    """Lets every call pass and counts nothing until `reset`."""
    return replace(circuit, state="disabled", since=now, reason="disabled by an operator")


def reset(circuit: Circuit, *, now: float) -> Circuit:
    """Closes the circuit and forgets its counts and its ladder."""
    return Circuit(
        name=circuit.name,
        version=circuit.version,
        generation=circuit.generation + 1,
        since=now,
        errors=circuit.errors,
    )


def merge(local: Circuit, shared: Circuit) -> Circuit:
    """The shared circuit with what this process learnt while it could not reach the others."""
    held_here = local.state in ("open", "half_open")
    if (
        shared.state in ("closed", "open")
        and held_here
        and local.opened_until > shared.opened_until
    ):
        return replace(
            shared,
            state="open",
            since=local.since,
            opened_until=local.opened_until,
            trips=max(local.trips, shared.trips),
            reason=local.reason,
            errors=local.errors,
        )
    return shared
