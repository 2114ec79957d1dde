"""Which rows a query looks at: stretches of time, and filters by names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Table

from allotrope.exceptions import InputError
from allotrope.usage.ledger import schema
from allotrope.usage.recorder.rows import DAY_US, DIMENSIONS, HOUR_US, microseconds, storable

Where = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, `start` ≤ t < `end`, aware."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuses windows that are none."""
        if self.start.tzinfo is None or self.end.tzinfo is None or self.start >= self.end:
            raise InputError(f"{self.start} to {self.end} is no stretch of time.")


def last_days(days: int, now: datetime | None = None) -> Window:
    """The window of the last days, up to and with today."""
    if days < 1:
        raise InputError(f"{days} is no number of days.")
    today = (now or datetime.now(UTC)).astimezone(UTC)
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(midnight - timedelta(days=days - 1), midnight + timedelta(days=1))


def stretches(window: Window) -> list[tuple[Table, int, int]]:
    """Whole days from the daily roll-up, the hours before and after them from the hourly one."""
    start, end = microseconds(window.start), microseconds(window.end)
    if window.end >= datetime.now(UTC):
        end = -(-end // DAY_US) * DAY_US  # there is nothing after now that a whole day could add
    first_day, last_day = -(-start // DAY_US), end // DAY_US
    first_hour, last_hour = start // HOUR_US, -(-end // HOUR_US)
    if first_day >= last_day:
        return [(schema.hourly, first_hour, last_hour)]
    edges = ((first_hour, first_day * 24), (last_day * 24, last_hour))
    return [
        (schema.daily, first_day, last_day),
        *((schema.hourly, first, last) for first, last in edges if first < last),
    ]


def edges(width: int, window: Window) -> tuple[int, int]:
    """The first bucket of a window and the one after its last, for buckets of `width` µs."""
    return microseconds(window.start) // width, -(-microseconds(window.end) // width)


def known_dimension(name: str) -> str:
    """The name, if it is a dimension.

    Raises:
        InputError: It is none.
    """
    if name not in DIMENSIONS:
        raise InputError(
            f"{name!r} is nothing that can be grouped by.",
            hint=f"Use one of {', '.join(DIMENSIONS)}.",
        )
    return name


def filters(table: Table, where: Where | None) -> list[ColumnElement[bool]]:
    """Conditions on a table's columns, for `where`.

    Raises:
        InputError: There is no such column with text.
    """
    found: list[ColumnElement[bool]] = []
    for name, value in (where or {}).items():
        if name not in table.c or name in ("bucket", "calls", "at"):
            raise InputError(f"{name!r} is nothing that can be filtered by here.")
        column = table.c[name]
        names = [storable(name) for name in ([value] if isinstance(value, str) else value)]
        found.append(column.in_(names))
    return found
