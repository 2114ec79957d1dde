"""What is done once a day in the background: the provider's list, and a line on coming ends."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from allotrope.exceptions import AllotropeError
from allotrope.models.catalogue.listing import fetch_listing
from allotrope.settings import Settings
from allotrope.stores.errors import error_name

if TYPE_CHECKING:
    from allotrope.models.catalogue.lifecycle import Lifecycles

logger = logging.getLogger(__name__)

DAY_S = 86_400
RETRY_S = 3_600
"""Seconds until a list that couldn't be fetched is asked for again."""
DELAY_S = 5.0
"""Seconds after a process's first call: a command that ends by then does nothing of it."""
WARN_DAYS = 60
"""So many days before a model's end its line appears in the log."""


class DailyLook:
    """Looks once a day, for all processes together; never in a turn's way.

    Args:
        settings: Key and address, and whether the provider is asked.
        lifecycles: Where the list is kept.
        models: The models in use: those of the roles and the settings.
        delay_s: Seconds to wait before the first look; default: `DELAY_S`.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        settings: Settings,
        lifecycles: "Lifecycles",
        models: Callable[[], list[str]],
        *,
        delay_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._lifecycles = lifecycles
        self._models = models
        self._clock = clock
        self._due = clock() + (DELAY_S if delay_s is None else delay_s)

    def tick(self) -> None:
        """Looks in a thread of its own when it is time; called about once a second."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + DAY_S
        threading.Thread(target=self._run, name="allotrope-models-daily", daemon=True).start()

    def look(self) -> float:
        """Looks now; returns the seconds until the next look."""
        notes = self._lifecycles.notes
        wait_s = float(DAY_S)
        if self._settings.openai.refresh_models and notes.claim("asked", for_s=RETRY_S):
            listing = notes.read().listing
            age = None if listing is None else self._lifecycles.now() - listing.at
            if age is None or age.total_seconds() >= DAY_S:
                wait_s = self._ask()
        if self._settings.openai.succession != "off" and notes.claim("told", for_s=DAY_S):
            for sentence in self.sentences():
                logger.warning("%s", sentence)
        return wait_s

    def sentences(self) -> list[str]:
        """A line for each model in use that ends soon or has ended."""
        return ending_soon(self._lifecycles, self._models())

    def _ask(self) -> float:
        try:
            listing = fetch_listing(self._settings.openai)
        except AllotropeError as exc:
            logger.info("the provider's list of models couldn't be asked for: %s", exc)
            return RETRY_S
        self._lifecycles.notes.list(listing)
        for problem in listing.problems:
            logger.warning("%s", problem)
        return DAY_S

    def _run(self) -> None:
        wait_s = float(RETRY_S)
        try:
            wait_s = self.look()
        except Exception as exc:  # noqa: BLE001 - no look is worth a server
            logger.info("the daily look at the models failed: %s", error_name(exc))
        self._due = self._clock() + wait_s


def ending_soon(lifecycles: "Lifecycles", models: list[str], *, days: int = WARN_DAYS) -> list[str]:
    """A sentence for each model that ends within so many days, or has ended.

    Args:
        lifecycles: Who knows.
        models: The models in use.
        days: How far to look ahead.
    """
    told = []
    for model in dict.fromkeys(models):
        left = lifecycles.days_left(model)
        reason = lifecycles.ended(model)
        if reason is None and (left is None or left > days):
            continue
        told.append(end_in_words(lifecycles, model))
    return told


def end_in_words(lifecycles: "Lifecycles", model: str) -> str:
    """When a model ends or ended, and who answers then, in one sentence.

    Args:
        lifecycles: Who knows.
        model: A model with an announced end, or one that was refused.
    """
    end, left = lifecycles.end(model), lifecycles.days_left(model)
    if (reason := lifecycles.ended(model)) is not None:
        day = "" if end is None else f" on {end.day.isoformat()}"
        ended = f"{model} ended{day}" if reason == "date" else f"{model} was refused as ended"
        serving = lifecycles.serving(model)
        if serving != model:
            return f"{ended}; {serving} answers in its place."
        return f"{ended}, and nobody takes over: {_what_to_do(lifecycles)}"
    assert end is not None
    assert left is not None
    when = f"{model} ends on {end.day.isoformat()}, in {left} day{'s' if left != 1 else ''}"
    if (after := lifecycles.next_after(model)) is not None:
        return f"{when}; {after} takes over. Try it first: `allotrope models trial`."
    return f"{when}, and nobody takes over: {_what_to_do(lifecycles)}"


def _what_to_do(lifecycles: "Lifecycles") -> str:
    if lifecycles.policy != "auto":
        return "set ALLOTROPE_OPENAI__SUCCESSION=auto, or choose another model."
    return "choose another model by ALLOTROPE_OPENAI__MODEL."
