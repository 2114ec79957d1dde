"""Ports on loopback that open and close on command, served by a thread of their own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from allotrope.exceptions import InputError
from allotrope.support.tasks import ended
from allotrope.testing.content.replies import Provider
from allotrope.testing.http.http11 import Exchange, Protocol

HOST = "127.0.0.1"


class Loopback:
    """The providers' ports and the thread that serves them.

    Args:
        handle: Answers one request.
        ports: Each provider's port; 0 takes a free one when it opens.
    """

    def __init__(
        self, handle: Callable[[Exchange], Awaitable[None]], ports: Mapping[Provider, int]
    ) -> None:
        self.ports: dict[Provider, int] = dict(ports)
        self._handle = handle
        self._servers: dict[Provider, asyncio.Server] = {}
        self._connections: dict[Provider, set[Protocol]] = {name: set() for name in ports}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    def start(self) -> None:
        """Opens every port.

        Raises:
            InputError: A port is taken.
        """
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="provider-simulator", daemon=True
        )
        self._thread.start()
        try:
            for provider in self.ports:
                self.up(provider)
        except OSError as exc:
            self.stop()
            raise InputError(
                f"The simulator can't listen on {HOST}: {exc}.", hint="Choose another port."
            ) from exc

    def stop(self) -> None:
        """Closes every port and connection."""
        if self._thread is None or self._loop is None:
            return
        for provider in self.ports:
            self.down(provider)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = self._loop = None

    def down(self, provider: Provider) -> None:
        """Closes a provider's port and breaks its connections."""
        self._call(self._close(provider))

    def up(self, provider: Provider) -> None:
        """Opens a provider's port again."""
        self._call(self._open(provider))

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(ended(*asyncio.all_tasks(loop)))
        finally:
            loop.close()

    def _call(self, work: Any) -> None:
        if self._loop is None:
            work.close()
            return
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, provider: Provider) -> None:
        if provider in self._servers:
            return
        connections = self._connections[provider]
        server = await asyncio.get_running_loop().create_server(
            lambda: Protocol(self._handle, connections),
            HOST,
            self.ports[provider],
            backlog=1024,
        )
        self._servers[provider] = server
        self.ports[provider] = server.sockets[0].getsockname()[1]

    async def _close(self, provider: Provider) -> None:
        server = self._servers.pop(provider, None)
        if server is None:
            return
        server.close()
        for connection in list(self._connections[provider]):
            connection.stop()
        await asyncio.sleep(0)  # lets the transports close before the loop may end
