"""Identical questions of several real processes make one request, though the leader be killed."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from allotrope.models.cache import RedisCache
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator

MakeChat = Callable[..., OpenAIChat]

ASK = """
import asyncio, sys
from allotrope.models.cache import RedisCache, open_answers
from allotrope.models.providers.openai import build_openai
from allotrope.settings import load_settings
from allotrope.settings.sections import OpenAISettings

url, prefix, base_url, count = sys.argv[1:5]
settings = load_settings(
    environ={}, env_file=None, data_dir=sys.argv[5], redis={"url": url, "prefix": prefix},
    cache={"timeout_s": 10.0, "lease_s": 1.0},
)
answers = open_answers(settings)
model = build_openai(OpenAISettings(api_key="sk-test", base_url=base_url))
model.asker, model.cache = RedisCache(answers).asker, False

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    got = await asyncio.gather(*(model.ainvoke("the same") for _ in range(int(count))))
    print(len(got), len({one.id for one in got}), {one.text for one in got}, flush=True)
    await answers.aclose()

asyncio.run(main())
"""


def _asker(settings: Settings, simulator: ProviderSimulator, count: int) -> "subprocess.Popen[str]":
    url = settings.redis.url
    assert url is not None
    words = [
        url.get_secret_value(), settings.redis.prefix, simulator.openai_url, str(count),
        str(settings.data_dir),
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", ASK, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _go(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


def test_a_thousand_at_once_from_two_processes_make_one_request(
    roomy: Settings, simulator: ProviderSimulator
) -> None:
    def slow(request: Any) -> str:
        time.sleep(0.3)
        return "done"

    simulator.answer_with(slow)
    askers = [_asker(roomy, simulator, 500) for _ in range(2)]
    for asker in askers:
        _go(asker)
    said = [asker.communicate(timeout=60)[0] for asker in askers]
    assert said == ["500 500 {'done'}\n"] * 2
    assert len(simulator.chats()) == 1


async def test_a_killed_leader_is_replaced_by_who_waits(
    roomy: Settings, cache: RedisCache, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    release, asked = threading.Event(), threading.Event()

    def slow(request: Any) -> str:
        if not asked.is_set():
            asked.set()
            release.wait(30)
        return "done"

    simulator.answer_with(slow)
    leader = _asker(roomy, simulator, 1)
    await asyncio.to_thread(_go, leader)
    assert await asyncio.to_thread(asked.wait, 20), "the other process leads"
    waiter = asyncio.create_task(make_chat().ainvoke("the same"))
    await asyncio.sleep(1.5)
    assert not waiter.done(), "the lease is renewed while the leader lives"
    assert len(simulator.chats()) == 1
    os.kill(leader.pid, signal.SIGKILL)
    leader.communicate()
    release.set()
    assert (await asyncio.wait_for(waiter, 20)).text == "done"
    assert len(simulator.chats()) == 2
