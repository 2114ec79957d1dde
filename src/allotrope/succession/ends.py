"""Ends that are near or have come: sentences for people, and alerts for the notifiers."""

import logging
from datetime import UTC, datetime

from allotrope.exceptions import AllotropeError
from allotrope.models.catalogue.daily import end_in_words, ending_soon
from allotrope.models.catalogue.lifecycle import Lifecycles, lifecycles_of
from allotrope.models.catalogue.roles import models_by_role
from allotrope.models.profiles.library import open_profiles
from allotrope.settings import Settings
from allotrope.usage.ledger.ledger import Ledger, open_ledger
from allotrope.usage.reports.notifiers import Alert, deliver, make_notifier

logger = logging.getLogger(__name__)

STEPS = (60, 30, 14, 7, 1)
"""Days before a model's end at which people are alerted, once each."""


def models_in_use(settings: Settings) -> list[str]:
    """The models that roles and profiles name.

    Raises:
        SettingsError: The person's own catalogue or a profile is broken.
    """
    library = open_profiles(settings.with_section("profiles", reload_s=None))
    try:
        named = [library.get(name).model for name in library.names()]
    finally:
        library.close()
    found = [*models_by_role(settings).values(), *(name for name in named if name)]
    return list(dict.fromkeys(found))


def end_sentences(settings: Settings) -> list[str]:
    """A sentence for each model in use that ends within 60 days or has ended.

    Without a key, with succession switched off and for Azure's deployments there is none. A broken
    catalogue or profile is one sentence too: whoever looks at a page sees it, and the page stays.
    """
    if not _asked(settings):
        return []
    try:
        lifecycles = lifecycles_of(settings)
        if lifecycles.notes.stale():
            lifecycles.notes.read()
        return ending_soon(lifecycles, models_in_use(settings))
    except AllotropeError as exc:
        return [str(exc)]


def alerts_of(lifecycles: Lifecycles, models: list[str], *, at: datetime) -> list[Alert]:
    """The alert that is due for each model: of the last step passed, or of its end.

    Args:
        lifecycles: Who knows.
        models: The models in use.
        at: The moment, aware.
    """
    found = []
    for model in models:
        end, left = lifecycles.end(model), lifecycles.days_left(model)
        serving = lifecycles.serving(model)
        ended = lifecycles.ended(model) is not None
        if ended:
            key, title = f"model/{model}/ended/{serving}", f"{model} has ended"
        elif end is not None and left is not None and left <= STEPS[0]:
            step = min(step for step in STEPS if left <= step)
            key = f"model/{model}/{end.day.isoformat()}/{step}"
            title = f"{model} ends on {end.day.isoformat()}"
        else:
            continue
        alone = serving == model if ended else lifecycles.next_after(model) is None
        found.append(
            Alert(
                key=key,
                kind="model",
                severity="critical" if alone else "warning",
                title=title,
                message=end_in_words(lifecycles, model),
                at=at,
                data={
                    "model": model,
                    "end": None if end is None else end.day.isoformat(),
                    "days_left": left,
                    "serving": serving,
                },
            )
        )
    return found


def tell_of_ends(settings: Settings, *, now: datetime | None = None) -> list[str]:
    """Sends the alerts that are due to all notifiers, each once.

    Of all processes and machines that share the ledger one sends it; where that failed with every
    notifier, the next look tries again.

    Args:
        settings: Whose models, where the ledger is, and who is told.
        now: The moment, aware.

    Returns:
        What failed, a sentence each.

    Raises:
        StoreError: The ledger can't be opened.
        SettingsError: The person's own catalogue or a profile is broken.
    """
    if not _asked(settings) or not settings.usage.enabled:
        return []
    lifecycles = lifecycles_of(settings)
    lifecycles.notes.read()
    due = alerts_of(lifecycles, models_in_use(settings), at=now or datetime.now(UTC))
    if not due:
        return []
    with open_ledger(settings) as ledger:
        return [failed for alert in due for failed in _send(settings, ledger, alert)]


def _send(settings: Settings, ledger: Ledger, alert: Alert) -> list[str]:
    if not ledger.claim(alert.key, alert.at.isoformat()):
        return []
    notifiers = [make_notifier(one) for one in settings.usage.notifiers]
    try:
        failed = deliver(alert, notifiers)
    except BaseException:
        ledger.release(alert.key)
        raise
    if len(failed) == len(notifiers) > 0:
        ledger.release(alert.key)
        return failed
    ledger.raise_alert(
        alert.key,
        kind=alert.kind,
        severity=alert.severity,
        title=alert.title,
        message=alert.message,
        at=alert.at,
    )
    return failed


def _asked(settings: Settings) -> bool:
    own = settings.openai
    return own.enabled and own.api_key is not None and own.succession != "off"
