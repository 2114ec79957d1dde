"""Which model serves now: announced ends, refusals, and the line of successors."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from allotrope.contracts import Succession
from allotrope.models.breaker.permits import deployment_of
from allotrope.models.catalogue.entries import Catalogue, Entry, open_catalogue
from allotrope.models.catalogue.facts import Gone, ModelNote, Reason, Repair
from allotrope.models.catalogue.notes import ModelNotes
from allotrope.settings import Settings
from allotrope.settings.sections import OpenAISettings

ASK_AGAIN = timedelta(hours=1)
"""A model that was refused before its announced end is asked again after so long."""
FRESH = timedelta(days=3)
"""How old the provider's list may be to win over our catalogue."""
CLOCK_OFF_S = 86_400.0
"""A clock this far from the provider's isn't believed."""

AZURE = re.compile(r"\.(?:openai|cognitiveservices|services\.ai)\.azure\.com$")
"""Hosts where a model's name is the name of a deployment, of which no lifecycle is known."""

_SNAPSHOT = re.compile(r"^(?P<base>.+?)-(?:20\d\d-\d\d-\d\d|20\d{6}|\d{4})$")

EndSource = Literal["settings", "provider", "catalogue"]


@dataclass(frozen=True)
class End:
    """The announced end of a model.

    Attributes:
        day: First day on which it no longer answers.
        source: Who says so.
    """

    day: date
    source: EndSource


def bare_name(model: str) -> tuple[str, str]:
    """What stands before a model's name (`openai/` of a proxy), and the name in lower case.

    Args:
        model: As it is sent.
    """
    head, slash, name = model.strip().rpartition("/")
    return head + slash, name.lower()


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


class Lifecycles:
    """The lifecycles of the models of one account at one address.

    Args:
        catalogue: Successors and announced ends.
        notes: What was learnt here.
        policy: `auto` switches; `warn` and `off` never do.
        own: Names whose rows come from the person's own catalogue.
        azure: Whether names are those of deployments.
        today: The day to judge by; None: the clock's.
        clock: The time of day, with a time zone.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        notes: ModelNotes,
        *,
        policy: Literal["off", "warn", "auto"] = "auto",
        own: frozenset[str] = frozenset(),
        azure: bool = False,
        today: date | None = None,
        clock: Callable[[], datetime] = lambda: utc_now(),
    ) -> None:
        self.catalogue = catalogue
        self.notes = notes
        self.policy = policy
        self.azure = azure
        self._own = own
        self._today = today
        self._clock = clock
        self._entries: dict[str, Entry | None] = {}
        self._lines: dict[str, tuple[str, ...]] = {}
        self._noted: dict[str, date] = {}  # by model: when its answer was noted last

    def touch(self) -> bool:
        """A call comes in; whether the notes must be read before it goes out (`notes.read`)."""
        stale = self.notes.stale()
        self.notes.touch()
        return stale

    # -- facts ------------------------------------------------------------------------------------

    def today(self) -> date:
        """The day lifecycles are judged by: the provider's where our clock is far off."""
        if self._today is not None:
            return self._today
        now = self._clock()
        offset = self.clock_offset_s()
        return (now + timedelta(seconds=offset)).date() if offset else now.date()

    def now(self) -> datetime:
        """The time of day by our own clock."""
        return self._clock()

    def clock_offset_s(self) -> float:
        """Seconds by which the provider's clock differs from ours, where that is over a day."""
        listing = self.notes.document.listing
        offset = 0.0 if listing is None else listing.clock_offset_s
        return offset if abs(offset) > CLOCK_OFF_S else 0.0

    def key(self, model: str) -> str:
        """The name in the catalogue for a name as it is sent: without prefix and date."""
        _, name = bare_name(model)
        if name in self.catalogue.models:
            return name
        snapshot = _SNAPSHOT.match(name)
        return snapshot["base"] if snapshot else name

    def entry(self, model: str) -> Entry | None:
        """The row of a model, with what its family says; None for a name nobody knows."""
        key = self.key(model)
        if key not in self._entries:
            self._entries[key] = self.catalogue.entry(key)
        return self._entries[key]

    def known(self, model: str) -> bool:
        """Whether such a model exists or existed, so that a refusal means its end."""
        listing = self.notes.document.listing
        listed = listing is not None and bare_name(model)[1] in listing.models
        tried = self.notes.note(model).tried is not None
        return self.key(model) in self.catalogue.models or listed or tried

    def end(self, model: str) -> End | None:
        """The announced end of a model; None where none is known."""
        if self.azure:
            return None
        key, (_, name) = self.key(model), bare_name(model)
        row = self.catalogue.models.get(key)
        ours = None if row is None else row.until
        if ours is not None and key in self._own:
            return End(ours, "settings")
        listing = self.notes.document.listing
        if listing is not None and self._clock() - listing.at <= FRESH:
            told = listing.models.get(name, listing.models.get(key, ""))
            if told is None:
                return None
            if told:
                return End(date.fromisoformat(told), "provider")
        return None if ours is None else End(ours, "catalogue")

    def days_left(self, model: str) -> int | None:
        """Days until a model's announced end, 0 or less once it has come; None: none is known."""
        end = self.end(model)
        return None if end is None else (end.day - self.today()).days

    # -- who serves -------------------------------------------------------------------------------

    def line(self, model: str) -> tuple[str, ...]:
        """A model and those that may take over from it; the model alone unless the policy is auto.

        Args:
            model: As the settings name it; a prefix is kept.
        """
        if self.policy != "auto" or self.azure:
            return (model,)
        if model not in self._lines:
            head, _ = bare_name(model)
            _, *after = self.catalogue.line(self.key(model))
            self._lines[model] = (model, *(head + name for name in after))
        return self._lines[model]

    def gone(self, model: str) -> Reason | None:
        """Why a model no longer serves; None while it does, or while nobody may take over."""
        if self.policy != "auto" or self.azure:
            return None
        return self.ended(model)

    def ended(self, model: str) -> Reason | None:
        """As `gone`, whatever the policy."""
        refused = self.notes.note(model).gone
        over = (left := self.days_left(model)) is not None and left <= 0
        if refused is not None:
            lasting = over or refused.reason == "retired"
            if lasting or self._clock() - refused.at < ASK_AGAIN:
                return refused.reason
        return "date" if over else None

    def serving(self, model: str) -> str:
        """The first of a model's line that isn't gone; the last where all are."""
        names = self.line(model)
        return next((name for name in names if self.gone(name) is None), names[-1])

    def next_after(self, model: str) -> str | None:
        """Who would take over from a model: the first of its successors that isn't gone."""
        return next((name for name in self.line(model)[1:] if self.gone(name) is None), None)

    def succession(self, wanted: str, serving: str) -> Succession | None:
        """`{"from", "to", "reason"}` where another model than the wanted one serves.

        Args:
            wanted: The model that was asked for.
            serving: The one that answers.
        """
        if wanted == serving:
            return None
        return {"from": wanted, "to": serving, "reason": self.ended(wanted) or "date"}

    # -- learning ---------------------------------------------------------------------------------

    def mark_gone(self, model: str, *, reason: Reason, said: str = "") -> None:
        """Keeps that a model was refused; everybody knows at once.

        Args:
            model: Which.
            reason: `retired` or `refused`.
            said: The provider's words.
        """
        gone = Gone(reason=reason, at=self._clock(), said=said[:200])
        self.notes.change(model, lambda note: note.model_copy(update={"gone": gone}))

    def nobody_left(self, wanted: str) -> None:
        """Every model of a line was refused: that is the account or the address, not their end.

        Refusals that no announced end explains are forgotten.

        Args:
            wanted: The first of the line.
        """
        for name in self.line(wanted):
            refused = self.notes.note(name).gone
            left = self.days_left(name)
            if refused is not None and refused.reason == "refused" and (left is None or left > 0):
                self.notes.change(name, lambda note: note.model_copy(update={"gone": None}))

    def repairs(self, model: str) -> tuple[Repair, ...]:
        """What a model was found not to take."""
        return self.notes.note(model).repairs

    def learn(self, model: str, repair: Repair) -> None:
        """Keeps what a model doesn't take."""

        def add(note: ModelNote) -> ModelNote:
            kept = [r for r in note.repairs if _what(r) != _what(repair)]
            return note.model_copy(update={"repairs": (*kept, repair)})

        self.notes.change(model, add)

    def answered(self, model: str, *, took_s: float = 0.0) -> None:
        """Notes that a model answers here: the first time, and where it was thought to be gone.

        Nothing is written in the call's way, and for each model at most once a day.

        Args:
            model: Which.
            took_s: Seconds since it was asked. A refusal since then stands: the answer began before
                the model's end.
        """
        note, now = self.notes.note(model), self._clock()
        began = now - timedelta(seconds=took_s)
        back = note.gone is not None and note.gone.at < began
        if not back and (note.tried is not None or self._noted.get(model) == now.date()):
            return
        self._noted[model] = now.date()

        def add(kept: ModelNote) -> ModelNote:
            gone = kept.gone if kept.gone is not None and kept.gone.at >= began else None
            return kept.model_copy(update={"tried": kept.tried or now, "gone": gone})

        self.notes.change(model, add)


def _what(repair: Repair) -> tuple[str, str]:
    return repair.parameter, repr(repair.refused)


_known: dict[tuple[str, ...], Lifecycles] = {}
_lock = threading.Lock()


def lifecycles_of(settings: Settings) -> Lifecycles:
    """The lifecycles this process has for these settings; the notes' file is read the first time.

    Raises:
        SettingsError: The person's own catalogue is broken.
    """
    own = settings.openai
    url = settings.redis.url
    key = (
        url.get_secret_value() if url is not None else "",
        str(settings.redis.embedded),
        settings.redis.prefix,
        str(settings.data_dir),
        _deployment(own),
        own.succession,
        str(own.catalogue),
        str(own.today),
    )
    with _lock:
        found = _known.get(key)
        if found is None:
            found = _known[key] = open_lifecycles(settings)
            if not found.azure:
                found.notes.chore = _daily(settings, found)
        return found


def _daily(settings: Settings, lifecycles: Lifecycles) -> Callable[[], None]:
    from allotrope.models.catalogue.daily import DailyLook
    from allotrope.models.catalogue.roles import models_by_role

    return DailyLook(settings, lifecycles, lambda: list(models_by_role(settings).values())).tick


def open_lifecycles(settings: Settings) -> Lifecycles:
    """Lifecycles of their own for these settings.

    Raises:
        SettingsError: The person's own catalogue is broken.
    """
    own = settings.openai
    catalogue, packaged = open_catalogue(own.catalogue), open_catalogue()
    theirs = {n for n, row in catalogue.models.items() if row != packaged.models.get(n)}
    host = urlsplit(own.base_url or "").hostname or ""
    return Lifecycles(
        catalogue,
        open_notes(settings),
        policy=own.succession,
        own=frozenset(theirs),
        azure=AZURE.search(host) is not None,
        today=own.today,
    )


def open_notes(settings: Settings) -> ModelNotes:
    """The notes on models of these settings; nothing is read yet."""
    from allotrope.exceptions import StoreError
    from allotrope.stores.folders import data_folder

    deployment = _deployment(settings.openai)

    def client() -> Any:
        from allotrope.stores.redis.client import open_redis

        return open_redis(settings)

    try:
        path = data_folder(settings) / "models" / f"{deployment}.json"
    except StoreError:
        path = None
    return ModelNotes(path, client=client, name=f"{settings.redis.prefix}models:{deployment}")


def _deployment(settings: OpenAISettings) -> str:
    secret = settings.api_key.get_secret_value() if settings.api_key is not None else None
    return deployment_of(settings.base_url, secret)
