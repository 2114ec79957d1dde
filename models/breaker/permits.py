"""Leave for one request, and the names of the circuits that give it."""

import asyncio
import hashlib
import threading
from dataclasses import dataclass, field
from typing import Protocol

from allotrope.models.breaker.facts import CallOutcome, Ticket
from allotrope.models.failures.policy import policy
from allotrope.models.waiting.caution import TrialCall
from allotrope.models.waiting.queue import Place
from allotrope.support.pools import TURNS


def deployment_of(base_url: str | None, key: str | None) -> str:
    """A short name for an account at an address: another key or server has circuits of its own.

    Otherwise a corrected key would still be held back by the wrong one's circuit. The key can't be
    computed back: 32 bits of a keyed hash remain of it.
    """
    text = f"{base_url or ''}\n{key or ''}".encode()
    return hashlib.blake2b(text, digest_size=4, key=b"allotrope circuit").hexdigest()


def circuit_name(provider: str, model: str | None = None, *, deployment: str = "") -> str:
    """`openai@1f2e3d4c/o3`; without a model the provider's own circuit."""
    where = f"{provider}@{deployment}" if deployment else provider
    return where if model is None else f"{where}/{model}"


def shown_name(name: str) -> str:
    """The name for people: `openai/o3`."""
    provider, slash, model = name.partition("/")
    return provider.partition("@")[0] + slash + model


class Reporting(Protocol):
    """What a permit needs of the breaker."""

    slow_after_s: float | None

    @property
    def sharing(self) -> str:
        """`redis` when telling it something may take a round trip."""

    def report(self, name: str, ticket: Ticket, outcome: CallOutcome) -> None:
        """Tells a circuit how a call went."""

    def tried(self, trial: TrialCall) -> None:
        """A call under way ended, after the circuits heard how."""


@dataclass(kw_only=True)
class Permit:
    """Leave for one request. Exactly one of `succeed`, `fail` and `give_back` ends it.

    Later calls of these do nothing, so `give_back` in a `finally` is always right.
    """

    circuits: Reporting
    provider: str
    model: str
    tickets: dict[str, Ticket]
    done: bool = field(default=False)
    trial: TrialCall | None = None
    spoken: bool = field(default=False)
    place: Place | None = None

    @property
    def is_probe(self) -> bool:
        """Whether this call tests a provider that was down."""
        return any(ticket.owner for ticket in self.tickets.values())

    def spoke(self) -> None:
        """Its first token came; a probe needs no more to close its circuits.

        Others would wait for the end of a long answer. What fails after it is told to nobody: the
        circuits have closed since this call began.
        """
        if self.trial is not None:
            self.trial.spoke = True
        if self.is_probe and not self.spoken:
            self.spoken = True
            if self.circuits.sharing == "redis":  # a round trip: not on the event loop
                threading.Thread(target=self._closes, daemon=True).start()
            else:
                self._closes()

    def succeed(self, *, first_token_s: float | None = None) -> None:
        """The call went well.

        Args:
            first_token_s: Seconds until the first token (or the answer); slow ones are counted.
        """
        limit = self.circuits.slow_after_s
        slow = limit is not None and first_token_s is not None and first_token_s > limit
        self._report(
            {
                name: CallOutcome(kind="slow" if slow and "/" in name else "success")
                for name in self.tickets
            }
        )

    def fail(self, error: BaseException) -> None:
        """The call failed; what that means for the circuits is `policy`'s word."""
        handling = policy(error)
        outcomes = {}
        for name in self.tickets:
            own = ("/" in name) == (handling.scope == "model")
            if own and handling.counts == "failure":
                outcomes[name] = CallOutcome(
                    kind="failure",
                    opens_for_s=handling.opens_for_s,
                    at_most_s=handling.at_most_s,
                    floor_s=getattr(error, "retry_after_s", None) or 0.0,
                    error=type(error).__name__,
                    code=getattr(error, "code", None),
                )
            elif handling.reached and "/" not in name:
                outcomes[name] = CallOutcome(kind="success")
        self._report(outcomes)

    def give_back(self) -> None:
        """The call says nothing about the provider: it was cancelled or never made."""
        self._report({})

    async def asucceed(self, *, first_token_s: float | None = None) -> None:
        """Like `succeed`; never blocks the event loop."""
        if self._quiet():
            self.succeed(first_token_s=first_token_s)
        else:
            await asyncio.shield(TURNS.run(self.succeed, first_token_s=first_token_s))

    async def afail(self, error: BaseException) -> None:
        """Like `fail`; never blocks the event loop."""
        if self.circuits.sharing == "redis":
            await asyncio.shield(TURNS.run(self.fail, error))
        else:
            self.fail(error)

    def agive_back(self) -> None:
        """Like `give_back`, for a cancelled coroutine, which must not wait: a thread does it."""
        if self._quiet() or self.circuits.sharing != "redis":
            self.give_back()
        else:
            threading.Thread(target=self.give_back, daemon=True).start()

    def _closes(self) -> None:
        for name, ticket in self.tickets.items():
            if ticket.owner:
                self.circuits.report(name, ticket, CallOutcome(kind="success"))

    def _quiet(self) -> bool:
        """Whether ending it well needs no round trip: no lease is held."""
        return self.circuits.sharing != "redis" or not self.is_probe

    def _report(self, outcomes: dict[str, CallOutcome]) -> None:
        """Ends it, once: tells each circuit its outcome, by default that there was none."""
        ended, self.done = self.done, True
        if ended:
            return
        try:
            for name, ticket in self.tickets.items():
                self.circuits.report(name, ticket, outcomes.get(name, CallOutcome(kind="nothing")))
        finally:
            if self.place is not None:
                self.place.leave()
            if self.trial is not None:
                self.circuits.tried(self.trial)
