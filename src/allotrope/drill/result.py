"""What a drill showed: turns, requests, and the figures made of them. Pure arithmetic."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from allotrope.drill.outages import BAD_REQUEST, FAILING, Scenario
from allotrope.support.providers import in_process


@dataclass(frozen=True, kw_only=True)
class DrillTurn:
    """One turn of one user; times in seconds of the run.

    Args:
        thread: The conversation.
        text: What the user said; unique in the run.
        started_s: When it was said.
        first_token_s: When the first token came, None where none did.
        ended_s: When the answer or the error was there.
        answered_by: `openai`, `ollama` or `embedded`; None: no answer.
        error: The class of the error the user got instead.
        glued: Whether what was streamed, restarts counted, differs from the answer.
        restarts: How often the stream was started anew.
        successor: The model that answered in a retired one's place; empty: there was none.
    """

    thread: str
    text: str
    started_s: float
    ended_s: float
    first_token_s: float | None = None
    answered_by: str | None = None
    error: str | None = None
    glued: bool = False
    restarts: int = 0
    successor: str = ""

    @property
    def shown_s(self) -> float:
        """When the user saw something."""
        return self.ended_s if self.first_token_s is None else self.first_token_s

    @property
    def by_fallback(self) -> bool:
        """Whether somebody else than OpenAI answered."""
        return self.answered_by not in (None, FAILING)

    @property
    def bad(self) -> bool:
        """Whether its request deserved a 400."""
        return BAD_REQUEST in self.text


@dataclass(frozen=True, kw_only=True)
class ProviderRequest:
    """One request a provider got: when, for which turn, and whether it met a fault."""

    at_s: float
    provider: str
    text: str
    fault: str | None


@dataclass(frozen=True, kw_only=True)
class CircuitChange:
    """A circuit that opened, let a probe through, or closed.

    Args:
        at_s: When.
        circuit: Its name, `openai/o3`.
        state: What it became.
        reason: Why, where it opened.
    """

    at_s: float
    circuit: str
    state: str
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of one run. Times in seconds of the run.

    Args:
        turns: Turns taken, bad requests not counted.
        answered: Those that got an answer.
        too_early: Turns the fallback answered although they were over before the outage.
        first_fallback_s: From the outage's begin to the fallback's first answer.
        wasted_before_open: Requests that reached the failing OpenAI before its circuit opened and
            got no answer, those under way at that moment included. Seen from outside, the circuit
            is open from the first request to the fallback for a turn that didn't try OpenAI.
        wasted: All requests that reached the failing OpenAI and got no answer.
        waited_p50_s: Median wait for the first token of a turn begun in the outage.
        waited_p99_s: The 99th percentile of the same.
        recovered_s: From healing to the first answer of OpenAI.
        lost: Messages missing in the threads.
        duplicated: Messages that are there more than once.
        glued: Turns whose stream doesn't add up to the answer.
        restarts: Streams begun anew, and said so.
        opened: Whether OpenAI was ever left alone.
        by_successor: Turns that another model of OpenAI answered in a retired one's place.
        successor: Its name; empty where there was none.
    """

    turns: int
    answered: int
    too_early: int
    first_fallback_s: float | None
    wasted_before_open: int
    wasted: int
    waited_p50_s: float | None
    waited_p99_s: float | None
    recovered_s: float | None
    lost: int
    duplicated: int
    glued: int
    restarts: int
    opened: bool
    by_successor: int = 0
    successor: str = ""


@dataclass(frozen=True, kw_only=True)
class Drill:
    """One run of one scenario.

    Args:
        scenario: What was played.
        system: Who was tried.
        turns: All turns, by their start.
        requests: All requests the simulated providers got, by their time.
        threads: What each thread holds at the end: (role, text).
        changes: What the circuits did, as this process saw it.
    """

    scenario: Scenario
    system: str
    turns: tuple[DrillTurn, ...]
    requests: tuple[ProviderRequest, ...]
    threads: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    changes: tuple[CircuitChange, ...] = ()

    def joined(self, other: "Drill", *, requests: tuple[ProviderRequest, ...]) -> "Drill":
        """This run and that of another process as one.

        Args:
            other: The other process' run.
            requests: What the providers got from both.
        """
        turns = sorted((*self.turns, *other.turns), key=lambda turn: turn.started_s)
        return replace(
            self,
            turns=tuple(turns),
            requests=requests,
            threads={**self.threads, **other.threads},
        )

    def figures(self) -> Figures:
        """The figures of the run."""
        counted = [turn for turn in self.turns if not turn.bad]
        ill = [turn for turn in counted if self.scenario.ill(turn.started_s)]
        waits = [t.first_token_s - t.started_s for t in ill if t.first_token_s is not None]
        lost, duplicated = self._threads()
        opened_at = self._opened_at()
        failed = [asked.at_s for asked in self.requests if asked.fault not in (None, "slow")]
        before = [at for at in failed if opened_at is None or at < opened_at]
        return Figures(
            turns=len(counted),
            answered=sum(turn.answered_by is not None for turn in counted),
            too_early=sum(
                turn.by_fallback and turn.ended_s < self.scenario.starts_s for turn in counted
            ),
            first_fallback_s=self._first_fallback(),
            wasted_before_open=len(before),
            wasted=len(failed),
            waited_p50_s=statistics.median(waits) if waits else None,
            waited_p99_s=_percentile(waits, 0.99),
            recovered_s=self._recovered(),
            lost=lost,
            duplicated=duplicated,
            glued=sum(turn.glued for turn in self.turns),
            restarts=sum(turn.restarts for turn in self.turns),
            opened=opened_at is not None,
            by_successor=sum(bool(turn.successor) for turn in self.turns),
            successor=next((t.successor for t in self.turns if t.successor), ""),
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures and the timeline as plain JSON values."""
        return {
            "scenario": self.scenario.name,
            "system": self.system,
            "starts_s": self.scenario.starts_s,
            "heals_s": self.scenario.heals_s,
            **asdict(self.figures()),
            "circuits": [asdict(change) for change in self.changes],
            "timeline": [
                {
                    "at_s": round(turn.started_s, 2),
                    "wait_s": round(turn.ended_s - turn.started_s, 3),
                    "answered_by": turn.answered_by,
                    "error": turn.error,
                }
                for turn in self.turns
            ],
        }

    def _opened_at(self) -> float | None:
        """When the fallback was first asked for a turn that nobody had asked OpenAI about."""
        tried = {asked.text for asked in self.requests if asked.provider == FAILING}
        spared = {turn.text: turn for turn in self.turns if turn.by_fallback}
        spared = {text: turn for text, turn in spared.items() if text not in tried}
        asked_at = [
            asked.at_s
            for asked in self.requests
            if asked.provider != FAILING and asked.text in spared
        ]
        # the embedded model's requests aren't seen; its answers are
        asked_at += [t.shown_s for t in spared.values() if in_process(t.answered_by)]
        return min((at for at in asked_at if at >= self.scenario.starts_s), default=None)

    def _first_fallback(self) -> float | None:
        shown = [turn.shown_s for turn in self.turns if turn.by_fallback]
        after = [at for at in shown if at >= self.scenario.starts_s]
        return min(after) - self.scenario.starts_s if after else None

    def _recovered(self) -> float | None:
        heals = self.scenario.heals_s
        if heals is None or not self.scenario.starts_s < heals:
            return None
        good = [
            asked.at_s
            for asked in self.requests
            if asked.provider == FAILING and asked.fault is None and asked.at_s >= heals
        ]
        return min(good) - heals if good else None

    def _threads(self) -> tuple[int, int]:
        """Messages lost and doubled: every text once, in order, each answer behind its question."""
        lost = duplicated = 0
        for thread, messages in self.threads.items():
            turns = [turn for turn in self.turns if turn.thread == thread]
            said = [text for role, text in messages if role == "human"]
            for turn in turns:
                copies = said.count(turn.text)
                lost += copies == 0
                duplicated += max(0, copies - 1)
                if turn.answered_by is not None:
                    replies = _replies(messages, turn)
                    lost += replies == 0
                    duplicated += max(0, replies - 1)
        return lost, duplicated


def _replies(messages: Sequence[tuple[str, str]], turn: DrillTurn) -> int:
    """How many answers to a turn a thread holds."""
    if not in_process(turn.answered_by):  # the simulated ones repeat the question
        return sum(role == "ai" and text.endswith(turn.text) for role, text in messages)
    place = next((at for at, said in enumerate(messages) if said == ("human", turn.text)), None)
    if place is None:
        return 0
    following = itertools.takewhile(lambda said: said[0] != "human", messages[place + 1 :])
    return sum(role == "ai" for role, _ in following)


def _percentile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
