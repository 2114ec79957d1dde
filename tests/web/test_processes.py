"""Real server processes: two that share Redis and PostgreSQL, one killed; and SIGTERM."""

import concurrent.futures
import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.conftest import CANARY

from allotrope.agents import registry
from allotrope.agents.agent import Agent
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator, Reply

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

SLOW = Reply(text="word " * 40, token_delay_s=0.1)


@pytest.fixture(scope="module")
def environ(simulator_server: ProviderSimulator, redis_url: str) -> dict[str, str]:
    """What all servers of this module share."""
    return {
        "OPENAI_API_KEY": CANARY,
        "OPENAI_BASE_URL": simulator_server.openai_url,
        "OLLAMA_HOST": simulator_server.ollama_url,
        "REDIS_URL": redis_url,
        "ALLOTROPE_REDIS__PREFIX": f"t{uuid.uuid4().hex[:12]}:",
        "ALLOTROPE_EMBEDDED__ENABLED": "false",
        "ALLOTROPE_CACHE__ENABLED": "false",
    }


@pytest.fixture(scope="module")
def servers(
    environ: dict[str, str],
    postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    start_server: Any,
) -> Iterator[list[Any]]:
    """Two machines: a data folder each, one Redis and one PostgreSQL for both."""
    folder = tmp_path_factory.mktemp("servers")
    shared = {
        **environ,
        "ALLOTROPE_CHECKPOINT_URL": postgres_url,
        "ALLOTROPE_MEMORY__ARCHIVE_URL": postgres_url,
        "ALLOTROPE_USAGE__LEDGER_URL": postgres_url.replace("://", "+psycopg://", 1),
    }
    started = []
    for name in ("a", "b"):
        shared["ALLOTROPE_DATA_DIR"] = str(folder / name)
        started.append(start_server(shared, folder))
    try:
        yield [server.ready() for server in started]
    finally:
        for server in started:
            server.end()


def test_killed_in_the_middle_the_thread_goes_on_at_the_other_server(
    servers: list[Any], simulator: ProviderSimulator
) -> None:
    first, second = servers
    turns: list[Any] = [{"role": "user", "content": "My name is Ada."}]
    simulator.script(["Hello Ada.", SLOW, "You are Ada."])
    with first.client() as client:
        answer = client.chat.completions.create(model="assistant", messages=turns)
        thread = answer.model_extra["allotrope"]["thread_id"]
        turns += [
            {"role": "assistant", "content": "Hello Ada."},
            {"role": "user", "content": "Who am I?"},
        ]
        said = 0
        broken = False
        try:
            for chunk in client.chat.completions.create(
                model="assistant", messages=turns, stream=True
            ):
                said += bool(chunk.choices and chunk.choices[0].delta.content)
                if said == 3:
                    os.kill(first.process.pid, signal.SIGKILL)
        except (openai.APIError, httpx.HTTPError, OSError):
            broken = True
    assert broken
    assert 3 <= said < 40
    kept = httpx.get(f"{second.url}/api/threads/{thread}").json()
    assert [message["text"] for message in kept["messages"]] == [
        "My name is Ada.",
        "Hello Ada.",
        "Who am I?",
    ]
    assert kept["waits"] is True
    with second.client() as client:  # the same request, as a load balancer or the client repeats it
        answer = client.chat.completions.create(model="assistant", messages=turns)
    assert answer.choices[0].message.content == "You are Ada."
    assert answer.model_extra["allotrope"]["thread_id"] == thread
    prompt = [turn.text for turn in simulator.chats()[-1].asked.turns]
    assert (prompt.count("My name is Ada."), prompt.count("Who am I?")) == (1, 1)
    kept = httpx.get(f"{second.url}/api/threads/{thread}").json()
    assert [message["text"] for message in kept["messages"]][2:] == ["Who am I?", "You are Ada."]
    assert kept["waits"] is False
    listed = httpx.get(f"{second.url}/api/threads").json()["threads"]
    assert next(one for one in listed if one["thread_id"] == thread)["messages"] == 4


def test_on_sigterm_turns_end_and_new_ones_are_sent_elsewhere(
    servers: list[Any], simulator: ProviderSimulator
) -> None:
    server = servers[1]
    simulator.script([SLOW, SLOW])

    def streamed(client: openai.OpenAI) -> str:
        asked = [{"role": "user", "content": "Streamed"}]
        stream = client.chat.completions.create(model="assistant", messages=asked, stream=True)
        return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)

    def whole(client: openai.OpenAI) -> str:
        asked = [{"role": "user", "content": "Whole"}]
        answer = client.chat.completions.create(model="assistant", messages=asked)
        return answer.choices[0].message.content or ""

    with concurrent.futures.ThreadPoolExecutor() as pool, server.client() as client:
        running = [pool.submit(streamed, client), pool.submit(whole, client)]
        while len(simulator.chats()) < 2:
            time.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        while server.health() == "ok":
            time.sleep(0.02)
        assert server.health() == "stopping"
        for path, body in (
            ("/v1/chat/completions", {"model": "assistant", "messages": [_question()]}),
            ("/v1/chat/completions", {"model": "coder", "messages": [_question()], "stream": True}),
            ("/api/turns", {"agent": "assistant", "text": "Me too"}),
        ):
            refused = httpx.post(server.url + path, json=body)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
            assert refused.json()["error"]["code"] == "server_stopping"
            assert "x-should-retry" not in refused.headers
        assert not any(turn.done() for turn in running), "both were under way all the time"
        assert [turn.result(60).split() for turn in running] == [["word"] * 40] * 2
    assert server.process.wait(20) == 0, server.log()
    assert "Traceback" not in server.log(), server.log()
    assert len(simulator.chats()) == 2


def _question() -> dict[str, str]:
    return {"role": "user", "content": "Me too"}


def test_what_outlasts_the_drain_is_cut_and_can_be_resumed(
    environ: dict[str, str], simulator: ProviderSimulator, tmp_path: Path, start_server: Any
) -> None:
    own = {**environ, "ALLOTROPE_DATA_DIR": str(tmp_path), "ALLOTROPE_SERVE__DRAIN_S": "1"}
    server = start_server(own, tmp_path).ready()
    try:
        simulator.script([Reply(text="word " * 600, token_delay_s=0.1), "In one word."])
        asked = {"agent": "assistant", "text": "Briefly?", "thread_id": "web-assistant-long"}
        events = []
        with httpx.stream("POST", f"{server.url}/api/turns", json=asked, timeout=60) as answer:
            for line in answer.iter_lines():
                events.append(json.loads(line))
                if len(events) == 5:
                    server.process.send_signal(signal.SIGTERM)
        assert events[-1]["type"] == "error"
        assert events[-1]["code"] == "server_stopping"
        assert server.process.wait(20) == 0, server.log()
        assert "Traceback" not in server.log(), server.log()
    finally:
        server.end()
    settings: Settings = load_settings(environ=own, env_file=None)
    with Agent(registry.find("assistant"), settings) as agent:
        assert agent.resume("web-assistant-long").answer == "In one word."
        kept = [message.text for message in agent.history("web-assistant-long")]
    assert kept == ["Briefly?", "In one word."]
