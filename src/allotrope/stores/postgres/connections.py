"""Connections to PostgreSQL that outlive a restart of the server.

Not psycopg's pool: its waiting clients learn only "couldn't get a connection", never why, and its
pauses between two tries grow to minutes. Here who needs a connection makes it and gets the reason.
"""

import asyncio
import contextlib
import logging
import select
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from allotrope.exceptions import StoreError
from allotrope.stores.errors import error_name
from allotrope.stores.postgres.errors import is_lost, is_starting, reason_of, server_of
from allotrope.support.extras import install

if TYPE_CHECKING:
    import psycopg
    import sqlalchemy

logger = logging.getLogger(__name__)

T = TypeVar("T")

RECOVERY_S = 8.0
"""So many seconds an operation waits for a server that was there before and is gone."""

MOST = 10
"""Connections of one store of one process."""

CONNECT_TIMEOUT_S = 5
_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.5)


def driver() -> Any:
    """The module `psycopg`.

    Raises:
        StoreError: It isn't installed.
    """
    try:
        import psycopg
    except ModuleNotFoundError as exc:
        raise StoreError("PostgreSQL needs its driver.", hint=install("postgres")) from exc
    return psycopg


def sqlalchemy_url(url: str) -> str:
    """The address as SQLAlchemy takes it: it would ask for psycopg2 where no driver is named.

    Args:
        url: `postgresql://…`, as for the other stores; other addresses stay as they are.
    """
    scheme, known, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return url
    return f"postgresql+psycopg{known}{rest}"


def options() -> dict[str, Any]:
    """How every connection is made."""
    return {"autocommit": True, "prepare_threshold": 0, "connect_timeout": CONNECT_TIMEOUT_S}


def bounded_engine(url: str, **more: Any) -> "sqlalchemy.Engine":
    """SQLAlchemy's engine; a PostgreSQL that is silent for too long ends what was asked of it.

    Args:
        url: Any that SQLAlchemy takes.
        more: For `sqlalchemy.create_engine`.

    Raises:
        sqlalchemy.exc.ArgumentError: It is no URL.
        ImportError: The driver isn't installed.
    """
    from sqlalchemy import create_engine, event

    engine = create_engine(url, **more)
    if engine.dialect.name == "postgresql" and engine.dialect.driver == "psycopg":
        from allotrope.stores.postgres.silence import BoundedConnection

        def connect(_dialect: object, _record: object, given: Any, named: dict[str, Any]) -> Any:
            named.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
            return BoundedConnection.connect(*given, **named)

        event.listen(engine, "do_connect", connect)
    return engine


def lock_for_tables(connection: "sqlalchemy.Connection", number: int) -> None:
    """One process at a time makes tables, to the end of the transaction; nothing on SQLite.

    `IF NOT EXISTS` alone isn't enough: two that make a table at once may both find none.

    Args:
        connection: SQLAlchemy's, in a transaction.
        number: Which tables; the same in every process.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (number,))


@contextlib.contextmanager
def one_at_a_time(connection: Any, number: int, *, timeout_s: float = 60.0) -> Iterator[None]:
    """One process at a time makes or changes tables.

    It asks again and again instead of waiting inside the server: a waiting statement would hold up
    `CREATE INDEX CONCURRENTLY` of the one it waits for.

    Args:
        connection: Of its own while this lasts.
        number: Which tables; the same in every process.
        timeout_s: Seconds after which the lock counts as lost, and we go on.
    """
    end = time.monotonic() + timeout_s
    while True:
        [(got,)] = connection.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchall()
        if got or time.monotonic() > end:
            break
        time.sleep(0.05)
    try:
        with patient(connection):
            yield
    finally:
        with contextlib.suppress(Exception):  # a lost connection has let go already
            connection.execute("SELECT pg_advisory_unlock(%s)", (number,))


@contextlib.contextmanager
def patient(connection: Any) -> Iterator[None]:
    """The server may be silent for long: it makes or changes tables.

    Args:
        connection: A `BoundedConnection`; nothing happens to any other.
    """
    if not hasattr(connection, "silence_s"):  # SQLite's: psycopg needn't be there then
        yield
        return
    from allotrope.stores.postgres.silence import PATIENT_S

    connection.silence_s = PATIENT_S
    try:
        yield
    finally:
        connection.silence_s = None


class _Recovery:
    """When an operation that failed is tried again, and what is said when it isn't.

    Args:
        url: The server's address.
        what: What is kept there, for people: "The archive".
        was_up: Whether it answered us before; one that never did isn't waited for.
    """

    def __init__(self, url: str, *, what: str, was_up: bool) -> None:
        self._url = url
        self._what = what
        self._was_up = was_up
        self._down_since: float | None = None
        self._lost: Exception | None = None

    def _up(self) -> None:
        self._was_up, self._down_since, self._lost = True, None, None

    def _pause(self, exc: Exception, tries: int) -> float:
        """Seconds until the next try.

        Raises:
            StoreError: There is none.
            Exception: What failed wasn't the connection.
        """
        if not is_lost(exc):
            if not isinstance(exc, driver().OperationalError):
                raise exc
            raise self._refusal(exc) from exc
        now = time.monotonic()
        if self._down_since is None:
            self._down_since = now
        self._lost = exc
        logger.warning("%s in PostgreSQL: the connection is lost: %s", self._what, error_name(exc))
        if now - self._down_since > RECOVERY_S or not (self._was_up or is_starting(exc)):
            raise self._refusal(exc) from exc
        return _PAUSES_S[min(tries, len(_PAUSES_S) - 1)]

    def _all_used(self) -> StoreError:
        """Every connection is taken; while the server is down, by those who wait for it."""
        if self._lost is not None:
            return self._refusal(self._lost)
        told = f"{self._what} in PostgreSQL: all connections are in use."
        return StoreError(told, hint="Ask again.")

    def _refusal(self, exc: Exception) -> StoreError:
        return StoreError(
            f"{self._what} in PostgreSQL at {server_of(self._url)} can't be used:"
            f" {reason_of(exc, self._url)}.",
            hint="`allotrope doctor` looks at the address.",
        )


class Connections(_Recovery):
    """Connections for threads; nothing is opened before the first use.

    Args:
        url: The server's address.
        what: What is kept there, for people: "The archive".
        most: Connections at a time; more wait.
    """

    def __init__(self, url: str, *, what: str, most: int = MOST) -> None:
        super().__init__(url, what=what, was_up=False)
        self._idle: list[psycopg.Connection[Any]] = []
        self._free = threading.BoundedSemaphore(most)

    def surely(self, work: Callable[..., T], *args: Any) -> T:
        """Does it; again while the connection gets lost, until the server is back.

        Args:
            work: Something that may be done twice. It takes its connection from here.
            args: For work.

        Raises:
            StoreError: The server didn't come back in time, or can't do it.
        """
        tries = 0
        while True:
            try:
                result = work(*args)
            except (driver().OperationalError, driver().InterfaceError) as exc:
                pause_s = self._pause(exc, tries)
            else:
                self._up()
                return result
            self._close_idle()
            time.sleep(pause_s)
            tries += 1

    @contextlib.contextmanager
    def connection(self) -> "Iterator[psycopg.Connection[Any]]":
        """A connection of one's own, in autocommit; afterwards the next user's.

        Raises:
            psycopg.OperationalError: The server can't be reached.
            StoreError: All connections are in use.
        """
        if not self._free.acquire(timeout=RECOVERY_S):
            raise self._all_used()
        try:
            connection = self._taken() or _connect(self._url)
            try:
                yield connection
            finally:
                if _is_fit(connection):
                    self._idle.append(connection)
                else:
                    connection.close()
        finally:
            self._free.release()

    def close(self) -> None:
        """Ends the connections; the next use opens new ones."""
        self._close_idle()

    def _taken(self) -> "psycopg.Connection[Any] | None":
        with contextlib.suppress(IndexError):  # from an empty list, whatever other threads do
            while True:
                connection = self._idle.pop()
                if _is_alive(connection):
                    return connection
                connection.close()
        return None

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()


class AsyncConnections(_Recovery):
    """`Connections` for one event loop, to a server that answered before.

    Args:
        url: The server's address.
        what: What is kept there, for people: "The threads".
        most: Connections at a time; more wait.
    """

    def __init__(self, url: str, *, what: str, most: int = MOST) -> None:
        super().__init__(url, what=what, was_up=True)
        self._idle: list[psycopg.AsyncConnection[Any]] = []
        self._free = asyncio.BoundedSemaphore(most)

    async def surely(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        """As `Connections.surely`."""
        tries = 0
        while True:
            try:
                result = await work(*args)
            except (driver().OperationalError, driver().InterfaceError) as exc:
                pause_s = self._pause(exc, tries)
            else:
                self._up()
                return result
            await self.aclose()
            await asyncio.sleep(pause_s)
            tries += 1

    @contextlib.asynccontextmanager
    async def connection(self) -> "AsyncIterator[psycopg.AsyncConnection[Any]]":
        """As `Connections.connection`."""
        try:
            async with asyncio.timeout(RECOVERY_S):
                await self._free.acquire()
        except TimeoutError as exc:
            raise self._all_used() from exc
        try:
            connection = await self._taken()
            if connection is None:
                connection = await _aconnect(self._url)
            try:
                yield connection
            finally:
                if _is_fit(connection):
                    self._idle.append(connection)
                else:
                    await connection.close()
        finally:
            self._free.release()

    async def aclose(self) -> None:
        """Ends the connections; the next use opens new ones."""
        while self._idle:
            await self._idle.pop().close()

    async def _taken(self) -> "psycopg.AsyncConnection[Any] | None":
        while self._idle:
            connection = self._idle.pop()
            if _is_alive(connection):
                return connection
            await connection.close()
        return None


def _connect(url: str) -> "psycopg.Connection[Any]":
    from allotrope.stores.postgres.silence import BoundedConnection

    return BoundedConnection.connect(url, **options())


async def _aconnect(url: str) -> "psycopg.AsyncConnection[Any]":
    from allotrope.stores.postgres.silence import AsyncBoundedConnection

    return await AsyncBoundedConnection.connect(url, **options())


def _is_fit(connection: Any) -> bool:
    """Whether the next one may use it: open, and in no transaction."""
    if connection.closed:
        return False
    idle = driver().pq.TransactionStatus.IDLE
    return bool(connection.info.transaction_status == idle)


def _is_alive(connection: Any) -> bool:
    """Whether the server still holds an idle connection, without asking it.

    A server that ends one says so before: there is something to read.
    """
    if connection.closed:
        return False
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
