"""The circuits of a process at work: asks them before a call, tells them how it went.

Two circuits stand in front of a model: its own (`openai/o3`) and its provider's (`openai`), which
counts what hits all models alike: no connection, a refused key, no credit. With Redis all processes
share them. The call path reads a local snapshot at most 50 ms old; a background thread keeps it
fresh and hands in the successes while calls come in, so a healthy call waits for nothing.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from allotrope.exceptions import CircuitOpenError
from allotrope.models.breaker import machine as breaker
from allotrope.models.breaker.facts import CallOutcome, Circuit, Rules, Ticket
from allotrope.models.breaker.permits import Permit, circuit_name
from allotrope.models.breaker.state import CircuitState, Gathered
from allotrope.models.breaker.store import BreakerStore
from allotrope.models.waiting.caution import CautionRules, TrialCall, Trials
from allotrope.models.waiting.overdue import Overdue
from allotrope.support.pools import TURNS
from allotrope.support.providers import is_local, label_of

Gate = Callable[[Circuit], tuple[Circuit, Ticket]]


class Circuits(CircuitState):
    """The circuit breaker of a process.

    Args:
        rules: When circuits open and close.
        shared: The store all processes share, or what opens it at the first call (it may give
            None); None keeps the circuits in this process.
        clock: Seconds since the epoch.
        ticks: Seconds of a clock that never goes back, for the age of snapshots.
        chance: Random numbers in [0, 1) for the jitter.
        snapshot_s: How old a snapshot may be before the call path looks itself.
        slow_after_s: A first token later than this counts as slow; None counts none.
        lost_s: Seconds between two tries to reach a store that is gone.
        enabled: False lets every call pass and counts nothing.
    """

    def __init__(
        self,
        *,
        rules: Rules | None = None,
        shared: BreakerStore | Callable[[], BreakerStore | None] | None = None,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        snapshot_s: float = 0.05,
        slow_after_s: float | None = None,
        lost_s: float = 1.0,
        enabled: bool = True,
    ) -> None:
        super().__init__(
            rules=rules,
            shared=shared,
            clock=clock,
            ticks=ticks,
            snapshot_s=snapshot_s,
            lost_s=lost_s,
        )
        self.slow_after_s = slow_after_s
        self.enabled = enabled
        self.overdue = Overdue(clock=ticks)
        self.trials = Trials()
        self._chance = chance

    # -- asking -----------------------------------------------------------------------------------

    def admit(
        self,
        provider: str,
        model: str,
        *,
        deployment: str = "",
        lease_s: float,
        last: bool = False,
    ) -> Permit:
        """Leave to call a model now.

        Args:
            provider: `openai`, `ollama` or `embedded`.
            model: The model.
            deployment: From `deployment_of`.
            lease_s: How long a probe may take; longer than the call's timeout.
            last: Nobody else can answer: an open circuit may let it through (`admit_last`).

        Raises:
            CircuitOpenError: The provider's or the model's circuit holds calls back.
        """
        permit = Permit(circuits=self, provider=provider, model=model, tickets={})
        if not self.enabled:
            return permit
        self.open()
        self._touch()
        for name in (
            circuit_name(provider, deployment=deployment),
            circuit_name(provider, model, deployment=deployment),
        ):
            circuit = self._fresh(name)
            ticket = self._ask(circuit, self._gate(provider, lease_s, last=last))
            if not ticket.granted:
                permit.give_back()
                raise self._refusal(name, provider, model, ticket)
            permit.tickets[name] = ticket
        return permit

    async def aadmit(
        self,
        provider: str,
        model: str,
        *,
        deployment: str = "",
        lease_s: float,
        last: bool = False,
    ) -> Permit:
        """Like `admit`; never blocks the event loop."""
        names = (
            circuit_name(provider, deployment=deployment),
            circuit_name(provider, model, deployment=deployment),
        )
        ask = partial(
            self.admit, provider, model, deployment=deployment, lease_s=lease_s, last=last
        )
        quick = not last and all(map(self._passes, names))
        if not self.enabled or self.sharing != "redis" or quick:
            return ask()
        task = asyncio.create_task(TURNS.run(ask))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_give_back_late)
            raise

    def next_try_s(self, provider: str, model: str, *, deployment: str = "") -> float | None:
        """Seconds until an open circuit lets a probe pass, as last seen; None when closed."""
        waits = []
        for name in (
            circuit_name(provider, deployment=deployment),
            circuit_name(provider, model, deployment=deployment),
        ):
            circuit = self._seen(name)
            if circuit.state == "open":
                waits.append(circuit.opened_until - self.now())
        return max([0.0, *waits]) if waits else None

    def lets_pass(
        self, provider: str, model: str, *, deployment: str = ""
    ) -> Literal["closed", "due"] | None:
        """Whether a call would get leave now, as last seen; nothing is asked for.

        Returns:
            `closed` where any would, `due` where one would as a probe, None where none would.
        """
        if not self.enabled:
            return "closed"
        self._touch()
        due = False
        for name in (
            circuit_name(provider, deployment=deployment),
            circuit_name(provider, model, deployment=deployment),
        ):
            circuit = self._seen(name)
            if circuit.state in ("half_open", "isolated"):
                return None
            if circuit.state == "open":
                if self.now() < circuit.opened_until:
                    return None
                due = True
        return "due" if due else "closed"

    def try_out(self, permit: Permit, rules: CautionRules, *, force: bool = False) -> bool:
        """Counts a permitted call as under way, unless it must wait for what others bring.

        Args:
            permit: Its leave; it ends what begins here.
            rules: How cautious.
            force: It has waited long enough.

        Returns:
            Whether it may go out now.
        """
        free = force or permit.is_probe
        permit.trial = self.trials.begin(
            tuple(permit.tickets),
            doubts=lambda: {} if free else self._doubts(permit, rules),
            most=self.rules.consecutive,
        )
        return permit.trial is not None

    def tried(self, trial: TrialCall) -> None:
        """A call under way ended, after the circuits heard how."""
        self.trials.end(trial)
        self.waiters.wake()

    def report(self, name: str, ticket: Ticket, outcome: CallOutcome) -> None:
        """Tells a circuit how a call went."""
        outcome = replace(outcome, owner=ticket.owner, generation=ticket.generation)
        if ticket.owner is None and outcome.kind == "nothing":
            return
        if ticket.owner is None and outcome.kind != "failure" and self.sharing == "redis":
            with self._lock:
                found = self._gathered.setdefault(name, Gathered(generation=ticket.generation))
                if found.generation != ticket.generation:
                    found = self._gathered[name] = Gathered(generation=ticket.generation)
                found.ok += outcome.kind == "success"
                found.slow += outcome.kind == "slow"
            return
        self._hand_in(name)
        chance, now = self._chance(), self.now
        self._change(
            name,
            lambda c: breaker.record(c, outcome, rules=self.rules, now=now(), chance=chance),
        )

    def trip(self, name: str, *, reason: str) -> Circuit:
        """Opens a closed circuit for a reason that no single call's end gives."""
        chance = self._chance()
        return self._change(
            name,
            lambda c: breaker.trip(
                c, reason=reason, rules=self.rules, now=self.now(), chance=chance
            ),
        )

    # -- looking and operating --------------------------------------------------------------------

    def isolate(self, name: str, *, reason: str = "isolated by an operator") -> Circuit:
        """Holds a circuit open until it is reset."""
        return self._change(name, lambda c: breaker.isolate(c, now=self.now(), reason=reason))

    def disable(self, name: str) -> Circuit:
        """Lets every call of a circuit pass until it is reset."""
        return self._change(name, lambda c: breaker.disable(c, now=self.now()))

    def reset(self, name: str) -> Circuit:
        """Closes a circuit and forgets its counts."""
        return self._change(name, lambda c: breaker.reset(c, now=self.now()))

    # -- inside -----------------------------------------------------------------------------------

    def _passes(self, name: str) -> bool:
        """Whether a fresh snapshot lets a call pass without asking the store."""
        found = self._snapshots.get(name)
        return (
            found is not None
            and self._ticks() - found.at <= self._snapshot_s
            and (
                found.circuit.state in ("closed", "disabled", "isolated")
                or (found.circuit.state == "open" and self.now() < found.circuit.opened_until)
            )
        )

    def _doubts(self, permit: Permit, rules: CautionRules) -> dict[str, int]:
        """Failures in a row of the closed circuits that failed lately and not answered since."""
        doubts = {}
        for name in permit.tickets:
            circuit = self._seen(name)
            answered = name in self._gathered
            if circuit.state not in ("closed", "disabled"):  # it opened since leave was given
                doubts[name] = self.rules.consecutive
                continue
            if circuit.state == "disabled" or not circuit.consecutive or answered:
                continue
            if circuit.errors and self.now() - circuit.errors[-1].at <= rules.hold_s:
                doubts[name] = circuit.consecutive
        return doubts

    def _gate(self, provider: str, lease_s: float, *, last: bool) -> Gate:
        """The question to a circuit: may this call go out now?"""
        owner = uuid.uuid4().hex
        if not last:
            return lambda c: breaker.admit(c, now=self.now(), owner=owner, lease_s=lease_s)
        local, early_s = is_local(provider), self.rules.early_s
        return lambda c: breaker.admit_last(
            c, now=self.now(), owner=owner, lease_s=lease_s, local=local, early_s=early_s
        )

    def _ask(self, circuit: Circuit, gate: Gate) -> Ticket:
        after, ticket = gate(circuit)
        if after == circuit:
            return ticket
        given: list[Ticket] = []

        def lease(found: Circuit) -> Circuit:
            after, ticket = gate(found)
            given.append(ticket)
            return after

        self._change(circuit.name, lease)
        return given[-1]

    def _refusal(self, name: str, provider: str, model: str, ticket: Ticket) -> CircuitOpenError:
        circuit = self._seen(name)
        who = label_of(provider)
        return CircuitOpenError(
            f"{who} is held back by the circuit breaker.",
            provider=provider,
            model=model,
            code=circuit.reason if circuit.state != "isolated" else "isolated",
            retry_after_s=ticket.retry_after_s,
        )


def _give_back_late(task: "asyncio.Task[Permit]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().agive_back()
