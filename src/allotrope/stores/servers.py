"""Which PostgreSQL servers the settings name, and whether they answer."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from allotrope.exceptions import StoreError
from allotrope.settings import Settings
from allotrope.stores.postgres.connections import driver
from allotrope.stores.postgres.errors import advice_for, reason_of, server_of


@dataclass(frozen=True)
class PostgresServer:
    """An address of the settings.

    Args:
        url: With user and password: never shown.
        stores: What is kept there: `threads`, `archive`, `ledger`, `prompts`.
        setting: The variable it stands in.
    """

    url: str
    stores: tuple[str, ...]
    setting: str


@dataclass(frozen=True)
class Looked:
    """How a server is.

    Args:
        server: Which.
        where: Host, port and database.
        version: "PostgreSQL 17.2", where it answered.
        reason: Why it can't be used, or None.
        advice: What to do about it.
    """

    server: PostgresServer
    where: str
    version: str = ""
    reason: str | None = None
    advice: str = ""


def postgres_servers(settings: Settings) -> list[PostgresServer]:
    """The PostgreSQL addresses of the settings; equal ones once."""
    checkpoints = (settings.checkpoint_url, "ALLOTROPE_CHECKPOINT_URL")
    archive = (settings.memory.archive_url, "ALLOTROPE_MEMORY__ARCHIVE_URL")
    named: list[tuple[str, Any, str]] = [
        ("threads", *checkpoints),
        ("archive", *(archive if archive[0] is not None else checkpoints)),
        ("ledger", settings.usage.ledger_url, "ALLOTROPE_USAGE__LEDGER_URL"),
        ("prompts", settings.prompts.database_url, "ALLOTROPE_PROMPTS__DATABASE_URL"),
    ]
    found: dict[str, PostgresServer] = {}
    for store, secret, setting in named:
        url = secret.get_secret_value() if secret is not None else "sqlite:"
        if url.startswith("sqlite:"):
            continue
        known = found.get(url, PostgresServer(url, (), setting))
        found[url] = PostgresServer(url, (*known.stores, store), known.setting)
    return list(found.values())


def look(server: PostgresServer, *, timeout_s: float = 3.0) -> Looked:
    """Connects once and says how that went.

    Args:
        server: Which.
        timeout_s: Seconds it may take; at least 2.
    """
    scheme, _, rest = server.url.partition("://")
    where = server_of(server.url)
    if scheme.partition("+")[0] not in ("postgresql", "postgres"):
        return Looked(
            server,
            where,
            reason="this is no address of a PostgreSQL",
            advice=f"Write postgresql://user:password@host:5432/database in {server.setting}.",
        )
    try:
        psycopg = driver()
    except StoreError as exc:
        return Looked(server, where, reason=exc.message.rstrip("."), advice=exc.hint or "")
    try:
        with psycopg.connect(
            f"postgresql://{rest}", autocommit=True, connect_timeout=max(2, round(timeout_s))
        ) as connection:
            [(version,)] = connection.execute("SHOW server_version").fetchall()
    except psycopg.Error as exc:
        advice = advice_for(exc, server.url, setting=server.setting)
        return Looked(server, where, reason=reason_of(exc, server.url), advice=advice)
    return Looked(server, where, version=f"PostgreSQL {version}")


class ServerHealth:
    """Which servers are down now, asked at most once a second however many want to know.

    Args:
        settings: Where the stores are.
        every_s: Seconds an answer is good for.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = postgres_servers(settings)
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._down: tuple[Looked, ...] = ()

    @property
    def known(self) -> tuple[Looked, ...]:
        """Those that couldn't be used at the last look; it doesn't wait."""
        return self._down

    def down(self) -> tuple[Looked, ...]:
        """Those that can't be used; it may take seconds where a host doesn't answer."""
        if not self._servers:
            return ()
        with self._lock:
            if self._clock() - self._at >= self._every_s:
                looked = [look(server, timeout_s=2.0) for server in self._servers]
                self._down = tuple(one for one in looked if one.reason is not None)
                self._at = self._clock()
            return self._down
