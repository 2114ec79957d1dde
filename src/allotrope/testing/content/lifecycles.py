"""When models are there: shutdown dates, retirements by command or by the clock, the model list."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from allotrope.exceptions import InputError
from allotrope.testing.errors import ErrorReply, openai_error, unknown_model
from allotrope.testing.openai.refusals import RETIREMENTS

_CREATED = 1_744_761_600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Retirement:
    how: str
    at_s: float


class SimulatedLifecycles:
    """The lifecycles of a provider's models. Nothing dies unless it is told to.

    Args:
        shutdown_dates: The `shutdown_date` of models as the model list carries it: `YYYY-MM-DD`,
            None, or any text where it shall be broken.
        now: The provider's date and time (UTC) at the start, ISO 8601; it moves on with the
            simulator's clock, stands in the `Date` header, and retires models whose date has come.
            None is the real time, and retires nothing.
        date_header: Sent as the `Date` header in place of the time.
        models_endpoint: Whether there is a `/v1/models`.

    Raises:
        InputError: `now` is no date.
    """

    def __init__(
        self,
        *,
        shutdown_dates: Mapping[str, str | None] | None = None,
        now: str | None = None,
        date_header: str | None = None,
        models_endpoint: bool = True,
    ) -> None:
        self.shutdown_dates: dict[str, str | None] = dict(shutdown_dates or {})
        self._first_dates = dict(self.shutdown_dates)
        self._date_header = date_header
        self._models_endpoint = models_endpoint
        self._retired: dict[str, _Retirement] = {}
        self._revived: frozenset[str] = frozenset()
        self._now: datetime | None = None
        if now is not None:
            try:
                start = datetime.fromisoformat(now)
            except ValueError as exc:
                raise InputError(
                    f"now is {now!r}, which is no date.", hint="Write it as 2026-12-10T23:59:00."
                ) from exc
            self._now = start if start.tzinfo else start.replace(tzinfo=UTC)

    def reset(self) -> None:
        """Forgets what was retired and revived since the start, and dates that were changed."""
        self._retired, self._revived = {}, frozenset()
        self.shutdown_dates = dict(self._first_dates)

    # -- what happens to models ---------------------------------------------------------------

    def retire(self, model: str, *, how: str = "not_found", at_s: float = 0.0) -> None:
        """Takes a model away, with its snapshot.

        Args:
            model: Its name.
            how: The refusal it answers with from then on, one of `RETIREMENTS`.
            at_s: Seconds on the simulator's clock from which on it is gone.

        Raises:
            InputError: There is no such way.
        """
        if how not in RETIREMENTS:
            raise InputError(
                f"'{how}' is no way to retire a model.",
                hint=f"Use one of {', '.join(RETIREMENTS)}.",
            )
        self._retired = {**self._retired, model: _Retirement(how=how, at_s=at_s)}
        self._revived -= {model}

    def revive(self, model: str) -> None:
        """Brings a model back, whatever took it."""
        self._retired = {name: how for name, how in self._retired.items() if name != model}
        self._revived |= {model}

    def refusal(self, model: str, names: Iterable[str], elapsed_s: float) -> ErrorReply | None:
        """The error a request for a model meets, None while the model is there.

        Args:
            model: The name asked for.
            names: All its names: the one asked for, and the alias of a snapshot.
            elapsed_s: Seconds on the simulator's clock.
        """
        for name in names:
            retirement = self._retired.get(name)
            if retirement is not None and elapsed_s >= retirement.at_s:
                return RETIREMENTS[retirement.how](model, self._day(name).isoformat())
            if name not in self._revived and self._past(name, elapsed_s):
                return unknown_model(model)
        return None

    def _past(self, name: str, elapsed_s: float) -> bool:
        day = _date_of(self.shutdown_dates.get(name))
        return self._now is not None and day is not None and day <= self.time(elapsed_s).date()

    def _day(self, name: str) -> date:
        return _date_of(self.shutdown_dates.get(name)) or date(2026, 12, 11)

    # -- what the provider says of them --------------------------------------------------------

    def time(self, elapsed_s: float) -> datetime:
        """The provider's date and time.

        Args:
            elapsed_s: Seconds on the simulator's clock.
        """
        if self._now is None:
            return datetime.now(UTC)
        return self._now + timedelta(seconds=elapsed_s)

    def date_header(self, elapsed_s: float) -> str:
        """The `Date` header of an answer."""
        if self._date_header is not None:
            return self._date_header
        return format_datetime(self.time(elapsed_s).astimezone(UTC), usegmt=True)

    def listing(
        self, path: str, names: Mapping[str, Iterable[str]], elapsed_s: float
    ) -> dict[str, Any]:
        """The answer to `GET /v1/models` or `/v1/models/{id}`.

        Args:
            path: The path of the URL.
            names: Every model's name with all its names (its own and its alias).
            elapsed_s: Seconds on the simulator's clock.

        Raises:
            ErrorReply: There is no model list, or no such model.
        """
        if not self._models_endpoint:
            raise openai_error(404, f"Invalid URL (GET {path})", code="unknown_url")
        cards = [
            {
                "id": name,
                "object": "model",
                "created": _CREATED,
                "owned_by": "system",
                "shutdown_date": self._announced(all_names),
            }
            for name, all_names in sorted(names.items())
            if self.refusal(name, all_names, elapsed_s) is None
        ]
        wanted = path.removeprefix("/v1/models").strip("/")
        if not wanted:
            return {"object": "list", "data": cards}
        for card in cards:
            if card["id"] == wanted:
                return card
        raise unknown_model(wanted)

    def _announced(self, names: Iterable[str]) -> str | None:
        for name in names:
            if name in self.shutdown_dates:
                return self.shutdown_dates[name]
        return None


def _date_of(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
