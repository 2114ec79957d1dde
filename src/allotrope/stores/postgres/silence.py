"""Connections to PostgreSQL that don't wait for ever for a server that has stopped to answer.

A server that stands still (SIGSTOP, a frozen machine, a disk that hangs) keeps its connections: the
kernel goes on acknowledging, so neither TCP's own timers nor `statement_timeout` end the wait.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")

SILENCE_S = 5.0
"""So many seconds a server may say nothing while it is asked something; then it counts as down."""

PATIENT_S = 600.0
"""The same while tables and indexes are made, seconds: on a large database that takes its time."""


class SilentServerError(psycopg.OperationalError):
    """The server was asked and said nothing for too long."""


class BoundedConnection(psycopg.Connection[Any]):
    """psycopg's connection, given up when the server is silent.

    Attributes:
        silence_s: Seconds of silence after which an operation fails.
    """

    silence_s: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """As psycopg's.

        Raises:
            SilentServerError: The server said nothing for too long; the connection is closed.
        """
        return super().wait(_bounded(gen, self), *args, **kwargs)


class AsyncBoundedConnection(psycopg.AsyncConnection[Any]):
    """`BoundedConnection`, asynchronously."""

    silence_s: float | None = None

    async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """As `BoundedConnection.wait`."""
        return await super().wait(_bounded(gen, self), *args, **kwargs)


def _bounded(
    gen: Generator[Any, Any, T], connection: BoundedConnection | AsyncBoundedConnection
) -> Generator[Any, Any, T]:
    """What psycopg waits for; it hears every tenth of a second that nothing came.

    The connection is closed first, so that nobody waits once more to end a transaction on it.
    """
    try:
        state = next(gen)
        since = time.monotonic()
        while True:
            ready = yield state
            if ready:
                since = time.monotonic()
            elif time.monotonic() - since > (connection.silence_s or SILENCE_S):
                connection.pgconn.finish()
                raise SilentServerError("timeout expired: the server doesn't answer")
            state = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result
