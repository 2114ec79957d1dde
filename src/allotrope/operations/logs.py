"""Structured logs: JSON or text, with the ids of run and thread, without content and keys."""

import copy
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TextIO

from allotrope.contracts import Configurable, Metadata
from allotrope.settings.sections import LogSettings

_ids: ContextVar[Mapping[str, str]] = ContextVar("allotrope_log_ids", default={})  # noqa: B039 - never changed in place

NAME = "allotrope"
"""The logger all of ours hang under; those of other packages stay as they are."""

FACTS = ("provider", "model", "error", "code", "status", "retry_after_s", "circuit", "state")
"""What `extra={…}` may add to a line; anything else is left out, so that no content slips in."""


@contextmanager
def log_ids(**ids: str | None) -> Iterator[None]:
    """Puts ids on every line logged inside, in this thread or task and those it starts.

    Args:
        ids: `run_id`, `thread_id`, `agent`; None leaves one out.
    """
    given = {name: value for name, value in ids.items() if value is not None}
    token = _ids.set({**_ids.get(), **given})
    try:
        yield
    finally:
        _ids.reset(token)


class IdsFilter(logging.Filter):
    """Gives each record the ids of the run it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds them; lets everything pass."""
        record.allotrope_ids = {**_ids_of_run(), **_ids.get()}
        return True


def _ids_of_run() -> dict[str, str]:
    """Run and thread of the LangGraph run under way, where there is one."""
    module = sys.modules.get("langchain_core.runnables.config")
    config = {} if module is None else module.ensure_config()
    metadata, configurable = config.get("metadata") or {}, config.get("configurable") or {}
    found = {
        "run_id": metadata.get(Metadata.RUN_ID),
        "thread_id": configurable.get(Configurable.THREAD) or configurable.get("thread_id"),
        "agent": metadata.get(Metadata.AGENT),
    }
    return {name: str(value) for name, value in found.items() if value is not None}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": _safe(record.getMessage()),
            **getattr(record, "allotrope_ids", {}),
        }
        line |= {name: getattr(record, name) for name in FACTS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__  # its text may hold content
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        ids = getattr(record, "allotrope_ids", {})
        told = "".join(f" {name}={value}" for name, value in ids.items())
        told += "".join(
            f" {name}={getattr(record, name)}" for name in FACTS if hasattr(record, name)
        )
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        if record.exc_info and record.exc_info[0] is not None:
            told += f" exception={record.exc_info[0].__name__}"
        return f"{at} {record.levelname.lower()} {record.name}: {_safe(record.getMessage())}{told}"


class Repeats(logging.Filter):
    """Shows equal warnings once in a while, and then how many there were.

    An outage of seconds makes hundreds of lines that say the same. Ids of runs don't make a line
    another one; changes of a circuit are all shown.

    Args:
        handler: Whose lines: it is given the line that says how many there were.
        every_s: Seconds for which equal lines are only counted.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        handler: logging.Handler,
        *,
        every_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._handler = handler
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._shown: dict[tuple[object, ...], _Shown] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is shown."""
        if record.levelno < logging.WARNING or hasattr(record, "state"):
            return True
        kind = record.exc_info[0] if record.exc_info else None
        facts = tuple(getattr(record, name, None) for name in FACTS)
        key = (record.name, record.levelno, record.getMessage(), kind, facts)
        now = self._clock()
        with self._lock:
            over = [k for k, shown in self._shown.items() if now - shown.at >= self._every_s]
            told = [shown for k in over if (shown := self._shown.pop(k)).more]
            known = self._shown.get(key)
            if known is not None:
                known.more += 1
            elif len(self._shown) < _MOST_REPEATS:
                self._shown[key] = _Shown(record, now)
        for shown in told:
            self._handler.emit(shown.summary(round(now - shown.at)))
        return known is None


@dataclass
class _Shown:
    """A line that was shown, and how many equal ones weren't."""

    record: logging.LogRecord
    at: float
    more: int = 0

    def summary(self, seconds: int) -> logging.LogRecord:
        record = copy.copy(self.record)
        times = "once" if self.more == 1 else f"{self.more} times"
        record.msg = f"{self.record.getMessage()} (again {times} in {seconds} s)"
        record.args = None
        return record


_MOST_REPEATS = 1_000


class ForPeople(logging.Filter):
    """Keeps the circuits' comings and goings off a terminal, where people read answers.

    They are told by the reply's own sentence; in files, pipes and JSON the lines are all there,
    and on a terminal with `ALLOTROPE_LOG__LEVEL=INFO`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is shown."""
        circuits = record.name == "allotrope.breaker" and record.levelno < logging.ERROR
        return not (circuits and sys.stderr.isatty())


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment, as the standard library's last resort."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute there
        return sys.stderr


def configure(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Sets up the logs of this process; a second call replaces the first.

    Args:
        settings: Level and form.
        stream: Where to; default: standard error.
    """
    logger = logging.getLogger(NAME)
    for old in list(logger.handlers):
        if isinstance(old.formatter, (JsonFormatter, TextFormatter)):
            logger.removeHandler(old)
    handler = _StandardError() if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    handler.addFilter(IdsFilter())
    handler.addFilter(Repeats(handler))
    if stream is None and settings.format == "text" and settings.level == "WARNING":
        handler.addFilter(ForPeople())
    logger.addHandler(handler)
    logger.setLevel(settings.level)


def _safe(text: str) -> str:
    """The message with keys taken out, whoever wrote it in."""
    from allotrope.models.failures.errors import redact

    return redact(text)
