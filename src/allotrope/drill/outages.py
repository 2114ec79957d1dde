"""Scripted outages: what goes wrong when, in seconds of a run. Data only."""

from dataclasses import dataclass
from typing import Final

from allotrope.exceptions import InputError
from allotrope.testing.content.replies import SimRequest
from allotrope.testing.faults import Fault

FAILING: Final = "openai"
"""The provider that fails in all of them."""
BAD_REQUEST = "bad-request"
"""A text with this word is a request OpenAI refuses with a 400, in the scenario of that name."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scripted outage.

    Args:
        name: Its name on the command line.
        title: What happens, for people.
        faults: What the simulated OpenAI does; times in seconds of the run.
        starts_s: When the outage begins.
        heals_s: When it ends; None: not within the run.
        redis_lost_s: From when to when Redis is gone.
        processes: How many processes share the users.
        bad_share: Share of turns whose request is refused with a 400.
        retires: Whether the model that answers is retired when it starts, for good.
    """

    name: str
    title: str
    faults: tuple[Fault, ...]
    starts_s: float = 10.0
    heals_s: float | None = 35.0
    redis_lost_s: tuple[float, float] | None = None
    processes: int = 1
    bad_share: float = 0.0
    retires: bool = False

    def ill(self, at: float) -> bool:
        """Whether the outage is on at that second."""
        return self.starts_s <= at < (self.heals_s if self.heals_s is not None else float("inf"))


def _during(
    kind: str, *, after_s: float = 10.0, until_s: float | None = 35.0, **more: object
) -> Fault:
    return Fault(kind=kind, provider=FAILING, after_s=after_s, until_s=until_s, **more)  # type: ignore[arg-type]  # Fault checks


def _is_bad(request: SimRequest) -> bool:
    return BAD_REQUEST in request.text


def _flapping() -> tuple[Fault, ...]:
    return tuple(
        _during("503", after_s=float(at), until_s=float(at + 4)) for at in range(10, 42, 8)
    )


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="burst-503", title="OpenAI answers 503", faults=(_during("503"),)),
    Scenario(
        name="rate-limit",
        title="OpenAI answers 429 without Retry-After",
        faults=(_during("429"),),
    ),
    Scenario(
        name="rate-limit-retry-after",
        title="OpenAI answers 429 with Retry-After: 20",
        faults=(_during("429", until_s=30.0, retry_after=20),),
        heals_s=30.0,
    ),
    Scenario(
        name="quota",
        title="the account's credit is gone, for good",
        faults=(_during("quota", until_s=None),),
        heals_s=None,
    ),
    Scenario(
        name="hang", title="OpenAI accepts requests and never answers", faults=(_during("hang"),)
    ),
    Scenario(name="reset", title="OpenAI's connections are reset", faults=(_during("reset"),)),
    Scenario(
        name="cut",
        title="OpenAI's streams break after three tokens",
        faults=(_during("cut", after_tokens=3),),
    ),
    Scenario(
        name="flapping",
        title="OpenAI answers 503 for 4 s, works for 4 s, four times over",
        faults=_flapping(),
        heals_s=38.0,
    ),
    Scenario(
        name="slow-death",
        title="OpenAI answers after 2 s, then 4 s, then never",
        faults=(
            _during("slow", until_s=18.0, seconds=2.0),
            _during("slow", after_s=18.0, until_s=26.0, seconds=4.0),
            _during("hang", after_s=26.0, until_s=38.0),
        ),
        heals_s=38.0,
    ),
    Scenario(
        name="redis-loss",
        title="OpenAI answers 503, and Redis dies in the middle of it",
        faults=(_during("503"),),
        redis_lost_s=(15.0, 45.0),
    ),
    Scenario(
        name="two-processes",
        title="OpenAI answers 503; the users are spread over two processes",
        faults=(_during("503"),),
        processes=2,
    ),
    Scenario(
        name="retirement",
        title="OpenAI retires the model that answers, for good",
        faults=(),
        heals_s=None,
        retires=True,
    ),
    Scenario(
        name="bad-requests",
        title="OpenAI is well, but every third request is refused with a 400",
        faults=(Fault(kind="400", provider=FAILING, when=_is_bad),),
        starts_s=0.0,
        heals_s=0.0,
        bad_share=1 / 3,
    ),
)
"""All scenarios, in the order they are played."""


def scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        InputError: There is none.
    """
    for found in SCENARIOS:
        if found.name == name:
            return found
    names = ", ".join(found.name for found in SCENARIOS)
    raise InputError(f"{name!r} is no scenario.", hint=f"Use one of {names}.")
