"""PostgreSQL and Redis restarted under twenty conversations through `allotrope serve`."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import MakeServer, PostgresServer

from allotrope.testing import ProviderSimulator

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(400)]

CONVERSATIONS = 20
TURNS = 3


def test_restarted_stores_lose_no_question_and_no_answer(
    own_postgres: PostgresServer,
    make_redis: MakeServer,
    simulator: ProviderSimulator,
    tmp_path: Path,
    start_server: Any,
) -> None:
    redis = make_redis()
    simulator.answer_with(lambda request: f"Answer to: {request.text}")
    server = start_server(
        {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": simulator.openai_url,
            "ALLOTROPE_OLLAMA__ENABLED": "false",
            "ALLOTROPE_EMBEDDED__ENABLED": "false",
            "ALLOTROPE_SERVE__REQUESTS_PER_MINUTE": "null",
            "ALLOTROPE_DATA_DIR": str(tmp_path),
            "ALLOTROPE_CHECKPOINT_URL": own_postgres.url,
            "ALLOTROPE_MEMORY__ARCHIVE_URL": own_postgres.url,
            "ALLOTROPE_USAGE__LEDGER_URL": own_postgres.url.replace("://", "+psycopg://", 1),
            "REDIS_URL": redis.url,
        },
        tmp_path,
    ).ready()
    answered = threading.Semaphore(0)

    def ask(client: httpx.Client, number: int, turn: int) -> None:
        text = f"Conversation {number}, turn {turn}?"
        body = {
            "model": "assistant",
            "messages": [{"role": "user", "content": text}],
            "allotrope": {"thread_id": f"t{number}"},
        }
        while True:
            reply = client.post("/v1/chat/completions", json=body)
            if reply.status_code == 200:
                assert reply.json()["choices"][0]["message"]["content"] == f"Answer to: {text}"
                return
            assert reply.status_code in (409, 503), reply.text
            time.sleep(0.3)  # as the answer says: a moment later the same again

    def talk(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            for turn in range(TURNS):
                ask(client, number, turn)
                answered.release()

    def wait_for(count: int) -> None:
        for _ in range(count):
            answered.acquire()

    try:
        with ThreadPoolExecutor(CONVERSATIONS) as pool:
            talks = [pool.submit(talk, number) for number in range(CONVERSATIONS)]
            wait_for(15)  # some first turns are done, others have begun
            own_postgres.stop()
            own_postgres.start()
            wait_for(15)
            pid = redis.pid()
            assert pid is not None
            os.kill(pid, signal.SIGTERM)
            while redis.answers():
                time.sleep(0.02)
            redis.ensure()
            for one in talks:
                one.result()
        for number in range(CONVERSATIONS):
            kept = httpx.get(f"{server.url}/api/threads/t{number}").json()["messages"]
            questions = [f"Conversation {number}, turn {turn}?" for turn in range(TURNS)]
            expected = [text for one in questions for text in (one, f"Answer to: {one}")]
            assert [message["text"] for message in kept] == expected
        assert server.health() == "ok"
        assert server.process.poll() is None
    finally:
        server.end()


def test_a_postgresql_that_stands_still_is_told_and_the_same_question_later_is_answered(
    own_postgres: PostgresServer,
    simulator: ProviderSimulator,
    simulator_environ: dict[str, str],
    tmp_path: Path,
    start_server: Any,
) -> None:
    simulator.answer_with(lambda request: "Fine.")
    environ = {**simulator_environ, "ALLOTROPE_CHECKPOINT_URL": own_postgres.url}
    server = start_server(environ, tmp_path).ready()
    body = {
        "model": "assistant",
        "messages": [{"role": "user", "content": "Does it stand still?"}],
        "allotrope": {"thread_id": "still"},
    }
    try:
        with httpx.Client(base_url=server.url, timeout=110) as client:
            own_postgres.pause()
            try:
                refused = client.post("/v1/chat/completions", json=body)
            finally:
                own_postgres.go_on()
            assert refused.status_code == 503
            error = refused.json()["error"]
            assert error["code"] == "store_unavailable"
            assert "the host doesn't answer" in error["message"]
            answered = client.post("/v1/chat/completions", json=body)
            assert answered.json()["choices"][0]["message"]["content"] == "Fine."
            kept = client.get("/api/threads/still").json()["messages"]
            assert [message["text"] for message in kept] == ["Does it stand still?", "Fine."]
    finally:
        server.end()
