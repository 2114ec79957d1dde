"""Clients of Redis: by URL, Sentinel or Cluster, or of the embedded server; else None.

Clients speak bytes, never retry by themselves (redis-py 8 would retry ten times) and time out after
`settings.redis.timeout_s`. None means: there is no Redis, keep the state in this process.
"""

import asyncio
import contextlib
import re
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from allotrope.exceptions import SettingsError, StoreError
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.stores.redis.server import EmbeddedServer, find_server, runtime_folder
from allotrope.support.pools import TURNS
from allotrope.support.tasks import end_on

SCHEMES = ("redis", "rediss", "unix")

_servers: dict[Path, EmbeddedServer] = {}
"""The embedded servers that this process uses, by folder; one process joins a server once."""


@dataclass(frozen=True, kw_only=True)
class RedisReport:
    """Which Redis is used, for people.

    Args:
        kind: `url`, `sentinel`, `cluster`, `embedded` or `memory`.
        address: Host and port or socket, without user and password.
        version: The server's version, where it answered.
        problem: Why it doesn't answer, or None.
    """

    kind: str
    address: str
    version: str | None = None
    problem: str | None = None


class _EmbeddedConnection(redis.UnixDomainSocketConnection):
    """Starts the embedded server again when it is gone."""

    server: EmbeddedServer

    def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Connects; to the server begun anew where nobody listens."""
        try:
            super().connect_check_health(*args, **kwargs)
        except redis.ConnectionError as exc:
            if not (_nobody_listens(exc) and self.server.revive()):
                raise
            super().connect_check_health(*args, **kwargs)


class _AsyncEmbeddedConnection(redis.asyncio.UnixDomainSocketConnection):
    """Starts the embedded server again when it is gone, without blocking the event loop."""

    server: EmbeddedServer

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Connects; to the server begun anew where nobody listens."""
        try:
            await super().connect_check_health(*args, **kwargs)
        except redis.ConnectionError as exc:
            if not (_nobody_listens(exc) and await TURNS.run(self.server.revive)):
                raise
            await super().connect_check_health(*args, **kwargs)


def _nobody_listens(exc: redis.ConnectionError) -> bool:
    """Whether the socket isn't there, or nobody has it open."""
    return isinstance(exc.__context__, FileNotFoundError | ConnectionRefusedError)


def embedded_server(settings: Settings) -> EmbeddedServer | None:
    """The embedded server of these settings, not yet started; None where it isn't wanted or found.

    Its data lie in `<data folder>/redis`; where that can't be written they live in the runtime
    folder and don't survive.
    """
    if settings.redis.url is not None or not settings.redis.embedded or find_server() is None:
        return None
    persist = True
    try:
        folder = data_folder(settings) / "redis"
    except StoreError:
        persist = False
        try:
            folder = runtime_folder() / "redis"
        except StoreError:
            return None
    return _servers.setdefault(folder, EmbeddedServer(folder, persist=persist))


def open_redis(settings: Settings) -> redis.Redis | None:
    """A client for this process (thread-safe); starts the embedded server where that is wanted.

    A server named by URL is not contacted before the first command.

    Returns:
        The client (for a cluster a `LazyCluster`), or None where there is no Redis to use.

    Raises:
        SettingsError: The URL is malformed.
    """
    url = settings.redis.url
    if url is None:
        server = _running(settings)
        if server is None:
            return None
        pool = redis.ConnectionPool(
            connection_class=type("EmbeddedConnection", (_EmbeddedConnection,), {"server": server}),
            path=str(server.socket_path),
            **_options(settings, Retry(NoBackoff(), 0)),
        )
        return redis.Redis.from_pool(pool)
    client: redis.Redis = _from_url(url.get_secret_value(), settings, redis, Retry(NoBackoff(), 0))
    return client


def open_async_redis(settings: Settings) -> redis.asyncio.Redis | None:
    """Like `open_redis`, for one event loop: never share the client between loops.

    It may block while the embedded server starts (tens of milliseconds, once).
    """
    url = settings.redis.url
    if url is None:
        server = _running(settings)
        if server is None:
            return None
        pool = redis.asyncio.ConnectionPool(
            connection_class=type(
                "AsyncEmbeddedConnection", (_AsyncEmbeddedConnection,), {"server": server}
            ),
            path=str(server.socket_path),
            **_options(settings, AsyncRetry(NoBackoff(), 0)),
        )
        return redis.asyncio.Redis.from_pool(pool)
    client: redis.asyncio.Redis = _from_url(
        url.get_secret_value(), settings, redis.asyncio, AsyncRetry(NoBackoff(), 0)
    )
    return client


class _SentinelPool(SentinelConnectionPool):
    """Closes its connections to the sentinels too."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Closes the connections; they are opened again when they are needed."""
        super().disconnect(inuse_connections)
        for sentinel in self.sentinel_manager.sentinels:
            sentinel.close()


class _AsyncSentinelPool(AsyncSentinelConnectionPool):
    """The same for asyncio."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Closes the connections; they are opened again when they are needed."""
        await super().disconnect(inuse_connections)
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


class LazyCluster:
    """A `redis.RedisCluster` that contacts its nodes with the first command, not when it is made.

    Args:
        factory: Makes the client; whatever it raises comes as a `redis.ConnectionError`.
    """

    def __init__(self, factory: Callable[[], Any]) -> None:
        self._factory = factory
        self._lock = threading.Lock()
        self._client: Any = None

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._client is None:
                try:
                    self._client = self._factory()
                except (redis.RedisError, redis.RedisClusterException) as exc:
                    raise redis.ConnectionError(str(exc)) from exc
        return getattr(self._client, name)

    def close(self) -> None:
        """Closes the connections, if there are any."""
        if self._client is not None:
            self._client.close()


class PerLoop:
    """Async clients, one per event loop, made when a loop first asks and closed with it.

    Args:
        factory: Makes a client; `lambda: open_async_redis(settings)`.
    """

    def __init__(self, factory: Callable[[], redis.asyncio.Redis | None]) -> None:
        self._factory = factory
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _KeptClient | None] = (
            weakref.WeakKeyDictionary()
        )
        # what closes must not hold this object, or it would not be let go
        weakref.finalize(self, _close_all, self._clients).atexit = False

    def get(self) -> redis.asyncio.Redis | None:
        """The client of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            client = self._factory()
            self._clients[loop] = None if client is None else _kept(client)
        kept = self._clients[loop]
        return None if kept is None else kept.client

    async def aclose(self) -> None:
        """Closes the client of the running loop."""
        kept = self._clients.pop(asyncio.get_running_loop(), None)
        if kept is not None:
            await kept.keeper.aclose()


@dataclass(frozen=True)
class _KeptClient:
    """A client, and what closes it."""

    client: redis.asyncio.Redis
    keeper: AsyncGenerator[None, None]
    begun: "asyncio.Task[None]"


def _close_all(
    clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _KeptClient | None]",
) -> None:
    """Closes each client on its loop: who asked for them is gone, from whatever thread."""
    for loop, kept in list(clients.items()):
        if kept is not None:
            end_on(loop, kept.keeper)


def _kept(client: redis.asyncio.Redis) -> _KeptClient:
    """The client with a generator of the running loop that closes it when it ends."""

    async def keep() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with contextlib.suppress(redis.RedisError, OSError):
                await client.aclose()

    async def begin() -> None:
        await anext(keeper)

    keeper = keep()
    # before the client's first answer; a loop that ends before that left no connection open
    return _KeptClient(client, keeper, asyncio.get_running_loop().create_task(begin()))


def describe(settings: Settings) -> RedisReport:
    """Which Redis these settings lead to and whether it answers; starts the embedded one."""
    url = settings.redis.url
    if url is not None:
        kind, address = _kind(url.get_secret_value())
    else:
        server = embedded_server(settings)
        if server is None:
            return RedisReport(
                kind="memory",
                address="this process only",
                problem=None if not settings.redis.embedded else "no redis-server was found",
            )
        kind, address = "embedded", str(server.socket_path)
    try:
        client = open_redis(settings)
        if client is None:
            return RedisReport(
                kind="memory", address="this process only", problem="it does not start"
            )
        with contextlib.closing(client):
            info: Any = client.info("server")
        first = next(iter(info.values())) if kind == "cluster" else info
        version = first.get("redis_version") if isinstance(first, dict) else None
        return RedisReport(kind=kind, address=address, version=version)
    except (redis.RedisError, OSError) as exc:
        return RedisReport(kind=kind, address=address, problem=f"{type(exc).__name__}: {exc}")


def _running(settings: Settings) -> EmbeddedServer | None:
    server = embedded_server(settings)
    if server is None:
        return None
    try:
        server.ensure()
    except StoreError:
        return None
    return server


def _options(settings: Settings, retry: Any) -> dict[str, Any]:
    timeout_s = settings.redis.timeout_s
    return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": retry}


def _kind(url: str) -> tuple[str, str]:
    """What a URL names, and its address without user and password."""
    start, mark, rest = url.partition("://")
    scheme, _, variant = start.lower().partition("+")
    if not mark or scheme not in SCHEMES or variant not in ("", "sentinel", "cluster"):
        told = f"starts with {start!r}, which is no kind we know" if mark else "names no kind"
        raise SettingsError(
            f"The Redis URL {told}.",
            hint="Use redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://.",
        )
    login, _, place = rest.rpartition("@")
    if re.search(r"[/?#\[\]\\\s]", login):  # what follows would be taken for host, path or options
        raise SettingsError(
            "User or password in the Redis URL have characters that must be encoded.",
            hint="Write / as %2F, ? as %3F, # as %23, [ as %5B, ] as %5D and % as %25.",
        )
    place = place.partition("?")[0]
    return variant or "url", place if scheme == "unix" else place.partition("/")[0]


def _from_url(url: str, settings: Settings, kit: Any, retry: Any) -> Any:
    """A client by URL; `kit` is `redis` or `redis.asyncio`, which mirror each other."""
    kind, address = _kind(url)
    options = _options(settings, retry)
    try:
        if kind == "sentinel":
            return _from_sentinel(url, kit, options)
        if kind == "cluster":
            plain = url.replace("+cluster", "", 1)
            if kit is redis:
                return LazyCluster(lambda: kit.RedisCluster.from_url(plain, **options))
            return kit.RedisCluster.from_url(plain, **options)
        return kit.Redis.from_url(url, **options)
    except redis.RedisError as exc:
        raise StoreError(
            f"The Redis at {address} can't be used: {type(exc).__name__}.",
            hint="Check ALLOTROPE_REDIS__URL.",
        ) from exc
    except ValueError as exc:
        raise SettingsError(
            f"The Redis URL for {address} is malformed.",
            hint="Write redis://[user:password@]host:port/db.",
        ) from exc


def _from_sentinel(url: str, kit: Any, options: dict[str, Any]) -> Any:
    """`redis+sentinel://[user:password@]host:26379[,host:port]/service[/db]`."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    path = [part for part in parts.path.split("/") if part]
    if not hosts or not path:
        raise SettingsError(
            "The Sentinel URL needs hosts and the name of the service.",
            hint="Write redis+sentinel://host:26379/mymaster/0.",
        )
    sentinels = []
    for host in hosts.split(","):
        name, _, port = host.rpartition(":") if ":" in host else (host, "", "26379")
        if not port.isdigit():
            raise SettingsError(f"The port {port!r} in the Sentinel URL is no number.")
        sentinels.append((name.strip("[]"), int(port)))
    user, _, password = login.partition(":") if ":" in login else ("", "", login)
    if parts.scheme.startswith("rediss"):
        options = {**options, "ssl": True}
    database = path[1] if len(path) > 1 else "0"
    if not database.isdigit():
        raise SettingsError(f"The database {database!r} in the Sentinel URL is no number.")
    sentinel = kit.Sentinel(
        sentinels,
        **options,
        sentinel_kwargs={k: v for k, v in options.items() if k != "retry"},
    )
    return sentinel.master_for(
        path[0],
        connection_pool_class=_SentinelPool if kit is redis else _AsyncSentinelPool,
        db=int(database),
        username=unquote(user) or None,
        password=unquote(password) or None,
    )
