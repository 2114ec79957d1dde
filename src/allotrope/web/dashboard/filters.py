"""The period and the filters in the address of a dashboard page, and links to other pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from allotrope.exceptions import InputError
from allotrope.usage.queries.browse import Pick
from allotrope.usage.queries.sums import Window

PERIODS: Mapping[str, str] = {
    "today": "Today",
    "7d": "7 days",
    "30d": "30 days",
    "month": "This month",
    "90d": "90 days",
    "365d": "365 days",
}
"""The periods of the form, with their words; all end with today (UTC)."""

FILTERS = ("agent", "model", "tenant")
"""What the form filters by."""

ROW_FILTERS = (
    *FILTERS,
    *("provider", "profile", "prompt", "variant", "cached", "status", "error", "degraded"),
    "stands_for",
    *("thread", "run", "user_name", "node", "tier"),
)
"""What the list of calls can be filtered by."""

GROUPS = ("agent", "model", "tenant", "provider", "profile", "variant")
"""What the charts can be split by."""

NAMELESS = "(none)"
"""Stands in an address for calls that have no such name."""

HOURLY_UP_TO = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows.

    Attributes:
        window: The stretch of time.
        period: Its name in `PERIODS`, or empty where the address has `from` and `to`.
        where: Filters; an empty text means calls without such a name.
        by: What charts are split by.
        only: A name of `usage.browse.ONLY`, for rows.
        fill: A tenth of the context window, for rows.
    """

    window: Window
    period: str = "7d"
    where: Mapping[str, str] = field(default_factory=dict)
    by: str = "agent"
    only: str = ""
    fill: int | None = None

    @property
    def bucket(self) -> str:
        """`hour` or `day`: what one bar stands for."""
        return "hour" if self.window.end - self.window.start <= HOURLY_UP_TO else "day"

    @property
    def pick(self) -> Pick:
        """The calls that are meant."""
        return Pick(self.window, self.where, self.only, self.fill)

    @property
    def words(self) -> str:
        """The period for people."""
        last = self.window.end - timedelta(seconds=1)
        start = self.window.start
        if start.time() != datetime.min.time() or self.window.end.time() != datetime.min.time():
            return f"{start:%-d %B %Y, %H:%M} to {self.window.end:%-d %B %Y, %H:%M}"
        if start.date() == last.date():
            return f"{start:%-d %B %Y}"
        return f"{start:%-d %B %Y} to {last:%-d %B %Y}"

    def without(self, *names: str) -> "View":
        """The same without some filters; a page's template asks for it."""
        return replace(self, where={k: v for k, v in self.where.items() if k not in names})

    def query(self) -> list[tuple[str, str]]:
        """The parameters of its address."""
        found = (
            [("period", self.period)]
            if self.period
            else [("from", _stamp(self.window.start)), ("to", _stamp(self.window.end))]
        )
        found += [(name, value or NAMELESS) for name, value in self.where.items()]
        if self.by != "agent":
            found.append(("by", self.by))
        if self.only:
            found.append(("only", self.only))
        if self.fill is not None:
            found.append(("fill", str(self.fill)))
        return found

    def address(self, path: str, **more: str) -> str:
        """A path with its parameters."""
        return f"{path}?{urlencode([*self.query(), *more.items()])}"

    def rows(
        self,
        where: Mapping[str, str] | None = None,
        *,
        window: Window | None = None,
        only: str = "",
        fill: int | None = None,
    ) -> str:
        """The address of the calls behind a number.

        Args:
            where: Further filters.
            window: Instead of the page's.
            only: A name of `usage.browse.ONLY`.
            fill: A tenth of the context window.
        """
        period = self.period if window is None else ""
        meant = replace(
            self,
            window=window or self.window,
            period=period,
            where={**self.where, **(where or {})},
            by="agent",
            only=only,
            fill=fill,
        )
        return meant.address("/dashboard/rows")


def read_view(
    parameters: Mapping[str, str], *, now: datetime, known: tuple[str, ...] = FILTERS
) -> View:
    """The view of an address. Filters that are empty, as forms send them, are none.

    Args:
        parameters: Of the address.
        now: The moment, aware.
        known: The filters that the page knows.

    Raises:
        InputError: A value that can't be read.
    """
    by = parameters.get("by") or "agent"
    if by not in GROUPS:
        raise InputError(
            f"{by!r} is nothing that charts are split by.", hint=f"Use one of {', '.join(GROUPS)}."
        )
    period = parameters.get("period") or ("" if parameters.get("from") else "7d")
    fill = parameters.get("fill") or None
    if fill is not None and not (fill.isascii() and fill.isdecimal() and len(fill) < 3):
        raise InputError(f"fill is {fill!r}; it must be a number from 0 to 9.")
    return View(
        window=_window(period, parameters, now),
        period=period,
        where={
            name: "" if parameters[name] == NAMELESS else parameters[name]
            for name in known
            if parameters.get(name)
        },
        by=by,
        only=parameters.get("only", ""),
        fill=None if fill is None else int(fill),
    )


def _window(period: str, parameters: Mapping[str, str], now: datetime) -> Window:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = midnight + timedelta(days=1)
    if not period:
        start = _moment("from", parameters["from"])
        end = _moment("to", parameters["to"]) if parameters.get("to") else tomorrow
        if start >= end:
            raise InputError(f"The period would end ({_stamp(end)}) before it begins.")
        return Window(start, end)
    if period == "month":
        return Window(midnight.replace(day=1), tomorrow)
    if period not in PERIODS:
        raise InputError(f"{period!r} is no period.", hint=f"Use one of {', '.join(PERIODS)}.")
    days = 1 if period == "today" else int(period.removesuffix("d"))
    return Window(tomorrow - timedelta(days=days), tomorrow)


def _moment(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as exc:  # year 1 in a zone east of Greenwich
        raise InputError(
            f"{name} is {text!r}, which is no date.", hint="Use 2026-01-31 or 2026-01-31T12:00."
        ) from exc
    if not 1971 <= found.year <= 9000:
        raise InputError(f"{name} is {text!r}; there were no calls then.")
    return found


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
