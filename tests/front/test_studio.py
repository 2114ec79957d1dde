"""`langgraph dev` serves the agents: list, context schema, run, stream, cache hit."""

import asyncio
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from allotrope.agents import registry
from allotrope.testing import ProviderSimulator

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.studio]
pytest.importorskip("langgraph_api", reason="the extra `studio` isn't installed")


@pytest.fixture(scope="module")
def studio(
    simulator_server: ProviderSimulator, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A running `langgraph dev` that talks to the simulator."""
    simulator_server.reset()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("studio")
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"),
            *("--port", str(port), "--config", str(ROOT / "langgraph.json")),
        ],
        cwd=folder,
        env={
            **os.environ,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": simulator_server.openai_url,
            "OLLAMA_HOST": simulator_server.ollama_url,
            "REDIS_URL": redis_url,
            "ALLOTROPE_REDIS__PREFIX": f"studio{port}:",
            "ALLOTROPE_DATA_DIR": str(folder / "data"),
            "ALLOTROPE_EMBEDDED__ENABLED": "false",
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        },
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"langgraph dev didn't start:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
        log.close()


@pytest.fixture
async def client(studio: str) -> Any:
    from langgraph_sdk import get_client

    made = get_client(url=studio)
    yield made
    await made.aclose()


async def test_every_agent_is_listed_with_its_form(client: Any) -> None:
    assistants = {found["graph_id"]: found for found in await client.assistants.search(limit=50)}
    assert set(assistants) == set(registry.names())
    for found in assistants.values():
        schemas = await client.assistants.get_schemas(found["assistant_id"])
        fields = schemas["context_schema"]["properties"]
        assert {"profile", "prompt_label", "budget_tokens", "tenant", "tools_allowed"} <= set(
            fields
        )
        assert all(field.get("description") for field in fields.values())


async def test_a_thread_runs_streams_and_hits_the_cache(
    client: Any, simulator_server: ProviderSimulator
) -> None:
    simulator_server.reset()
    question = {"messages": [{"role": "user", "content": "Say one two three"}]}
    first = await client.threads.create()
    events: dict[str, list[Any]] = {}
    async for part in client.runs.stream(
        first["thread_id"], "assistant", input=question, stream_mode=["messages-tuple", "values"]
    ):
        events.setdefault(part.event, []).append(part.data)
    assert "error" not in events, events
    assert len(events["messages"]) > 2
    assert events["values"][-1]["provenance"]["provider"] == "openai"
    asked = len(simulator_server.requests)
    second = await client.threads.create()
    state = await client.runs.wait(second["thread_id"], "assistant", input=question)
    assert state["messages"][-1]["content"] == events["values"][-1]["messages"][-1]["content"]
    assert len(simulator_server.requests) == asked, "the repeated question was asked again"
    assert state["provenance"]["cached"] == "exact"


async def test_a_wrong_question_ends_in_a_sentence(client: Any) -> None:
    thread = await client.threads.create()
    state = await client.runs.wait(
        thread["thread_id"], "assistant", input={"messages": []}, raise_error=False
    )
    await asyncio.sleep(0)
    assert "no message to answer" in str(state)


def test_the_example_with_remote_graph(
    studio: str, simulator_server: ProviderSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator_server.reset()
    simulator_server.script(["Paris, from afar"])
    main = runpy.run_path(str(ROOT / "examples" / "remote_graph.py"))["main"]
    main(studio, "Which city is far away?")
    assert capsys.readouterr().out.startswith("Paris, from afar\nfrom openai, o3")
