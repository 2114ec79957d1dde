"""Each example runs as a script, against the simulator.

`examples/remote_graph.py` runs in tests/front/test_studio.py, where a server is up.
"""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from allotrope.testing import ProviderSimulator, Reply, ToolCall

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def _environment(
    simulator_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in simulator_environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs an example as `python examples/NAME.py …` does, and gives what it printed."""

    def execute(name: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *words])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return execute


def test_every_example_has_a_test() -> None:
    known = {"parent_graph", "fastapi_sse", "agent_as_tool", "middleware"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == known | {
        "beside_openai_agents",
        "remote_graph",
    }


@pytest.mark.parametrize("name", ["middleware", "agent_as_tool", "beside_openai_agents"])
def test_without_words_an_example_asks_its_own_question(
    run: Any, simulator: ProviderSimulator, name: str
) -> None:
    assert run(name).strip()
    asked = json.dumps(simulator.chats()[0].body)
    question = (EXAMPLES / f"{name}.py").read_text().split(f'{name}.py "')[1].split('"')[0]
    assert question in asked


@pytest.mark.parametrize("name", ["parent_graph", "remote_graph"])
def test_an_example_that_needs_words_says_which(run: Any, name: str) -> None:
    with pytest.raises(SystemExit, match=rf"python examples/{name}\.py "):
        run(name)


def test_the_analyst_is_a_node_of_a_parent_graph(
    run: Any, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "sales.csv").write_text("city,amount\nRome,10\nOslo,25\nRome,5\n")
    sql = 'SELECT city, SUM(amount) AS total FROM "sales" GROUP BY city ORDER BY total DESC'
    simulator.script(["1. Sum by city.", f"```sql\n{sql}\n```", "Oslo sold most: 25.", "none"])
    assert run("parent_graph", "sales.csv", "Which city sold most?").startswith(
        "OSLO SOLD MOST: 25."
    )


async def test_fastapi_streams_the_events(simulator: ProviderSimulator) -> None:
    app = runpy.run_path(str(EXAMPLES / "fastapi_sse.py"))["app"]
    simulator.script(["One two three"])
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        answer = await client.get("/chat", params={"text": "Count."})
        refused = await client.get("/chat", params={"text": " "})
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line[:6] == "data: "]
    assert "".join(e["text"] for e in told if e["type"] == "token") == "One two three"
    assert told[-1]["type"] == "reply"
    assert told[-1]["provider"] == "openai"
    assert "event: error" in refused.text
    assert "the text is empty" in refused.text


def test_an_agent_is_the_tool_of_another(run: Any, simulator: ProviderSimulator) -> None:
    def answer(request: Any) -> Any:
        prompt = json.dumps(request.body["messages"])
        if "You are an editor" in prompt:
            return '{"score": 9, "problems": []}'
        if "You are a writer" in prompt:
            return "Fresh bread daily"
        if "Fresh bread daily" in prompt:
            return "Here it is: Fresh bread daily"
        brief = "A slogan of exactly three words for a bakery."
        return Reply(tool_calls=(ToolCall("write_text", {"brief": brief}),))

    simulator.answer_with(answer)
    assert run("agent_as_tool", "Get me a slogan.").strip() == "Here it is: Fresh bread daily"


def test_create_agent_with_our_middleware(run: Any, simulator: ProviderSimulator) -> None:
    simulator.faults.add(503, provider="openai")
    simulator.script(
        [Reply(tool_calls=(ToolCall("add", {"a": 2, "b": 3}),)), "It is 5."], provider="ollama"
    )
    assert run("middleware", "2 + 3?") == "It is 5.\nfrom ollama, degraded: True\n"


def test_beside_openai_agents(run: Any, simulator: ProviderSimulator) -> None:
    simulator.when(
        lambda request: (
            "Ask the colleague" in json.dumps(request.body)
            and not any(m["role"] == "tool" for m in request.body["messages"])
        ),
        Reply(tool_calls=(ToolCall("ask_colleague", {"text": "Capital of France?"}),)),
    )
    simulator.script(["Paris", "The colleague says: Paris"])
    assert run("beside_openai_agents", "Where?").strip() == "The colleague says: Paris"
    assert len(simulator.requests) == 3
