"""`langgraph dev` serves the agents: list, context schema, run, stream, cache hit."""

import asyncio
import os
import runpy
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph.runtime import Runtime, ServerInfo
from tests.conftest import CANARY
from tests.studio_server import studio_server

from allotrope.agents import registry
from allotrope.exceptions import InputError
from allotrope.graphs.context import context_of_run
from allotrope.identity.key_store import KeyStore
from allotrope.identity.keys import Key
from allotrope.settings import load_settings
from allotrope.testing import ProviderSimulator, SimRequest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.studio]
pytest.importorskip("langgraph_api", reason="the extra `studio` isn't installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server works."""
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(simulator_server: ProviderSimulator, redis_url: str, folder: Path) -> Iterator[str]:
    """A running `langgraph dev` that talks to the simulator."""
    simulator_server.reset()
    environ = {
        "OPENAI_API_KEY": CANARY,
        "OPENAI_BASE_URL": simulator_server.openai_url,
        "OLLAMA_HOST": simulator_server.ollama_url,
        "REDIS_URL": redis_url,
        "ALLOTROPE_REDIS__PREFIX": f"studio{uuid.uuid4().hex[:8]}:",
        "ALLOTROPE_DATA_DIR": str(folder / "data"),
        "ALLOTROPE_EMBEDDED__ENABLED": "false",
        "ALLOTROPE_AGENTS__FILE_ROOTS": f'["{folder}"]',
        "ALLOTROPE_AGENTS__OUTPUT_DIR": str(folder / "out"),
    }
    with studio_server(environ, folder) as address:
        yield address


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


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "evil.example"},
    {"x-auth-scheme": "langsmith", "Origin": "https://evil.example"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_pages_of_other_sites_can_neither_read_nor_write(
    studio: str, headers: dict[str, str]
) -> None:
    async with httpx.AsyncClient(base_url=studio, headers=headers) as page:
        answers = [
            await page.post("/threads/search", json={}),
            await page.post("/assistants/search", json={}),
            await page.post("/threads", json={}),
            await page.get(f"/threads/{uuid.uuid4()}/state"),
            await page.get("/dashboard"),
        ]
    for answer in answers[:-1]:
        assert answer.status_code == 403, answer.text
    for answer in answers:
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed is None or allowed == "https://smith.langchain.com"


async def test_studios_own_page_may(studio: str) -> None:
    origin = {"Origin": "https://smith.langchain.com", "Sec-Fetch-Site": "cross-site"}
    async with httpx.AsyncClient(base_url=studio, headers=origin) as page:
        found = await page.post("/assistants/search", json={})
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a"}
        before = await page.options("/threads", headers=asked)
    assert found.status_code == 200
    assert found.headers["access-control-allow-origin"] == "https://smith.langchain.com"
    assert before.headers["access-control-allow-origin"] == "https://smith.langchain.com"


@pytest.mark.parametrize(
    "extra",
    [
        {"context": {"tenant": "another"}},
        {"config": {"configurable": {"tenant": "another"}}},
    ],
)
async def test_a_client_cannot_choose_its_tenant(client: Any, extra: dict[str, Any]) -> None:
    thread = await client.threads.create()
    question = {"messages": [{"role": "user", "content": "Say hello"}]}
    with pytest.raises(Exception, match="belongs to the tenant 'default'"):
        await client.runs.wait(thread["thread_id"], "assistant", input=question, **extra)
    with pytest.raises(Exception, match="belongs to the tenant 'default'"):
        await client.assistants.create("assistant", **extra)


def test_the_caller_wins_over_the_context() -> None:
    """Also where an assistant or a schedule was stored with another tenant in its context."""
    caller: Any = {
        "identity": "k1", "tenant": "acme", "user": "ann", "allowance": "usd 5 month",
        "tools_allowed": ["calculate"], "agents": ["assistant"],
    }  # fmt: skip
    claimed = {
        "tenant": "another", "user": "bob", "profile": "precise", "allowance": "",
        "tools_allowed": ["calculate", "current_time"],
    }  # fmt: skip
    server = ServerInfo(assistant_id="a", graph_id="assistant", user=caller)
    bound = context_of_run(Runtime(context=claimed, server_info=server), tenant="default")
    assert (bound.tenant, bound.user, bound.profile) == ("acme", "ann", "precise")
    assert (bound.allowance, bound.tools_allowed) == ("usd 5 month", ["calculate"])
    own = context_of_run(Runtime(context=claimed), tenant="default")
    assert (own.tenant, own.user) == ("another", "bob")
    other = ServerInfo(assistant_id="a", graph_id="coder", user=caller)
    with pytest.raises(InputError, match="no agent 'coder' for you"):
        context_of_run(Runtime(context=claimed, server_info=other))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_gets_nothing(studio: str) -> None:
    port = studio.rpartition(":")[2]
    ask = (
        f"import http.client as h; c = h.HTTPConnection('127.0.0.1', {port}); "
        "c.request('POST', '/threads/search', '{}', {'content-type': 'application/json'}); "
        "r = c.getresponse(); print(r.status, r.read().decode())"
    )
    own = subprocess.run(["/usr/bin/python3", "-c", ask], capture_output=True, text=True)
    other = subprocess.run(
        ["/usr/bin/python3", "-c", ask], user="nobody", capture_output=True, text=True, cwd="/"
    )
    assert own.stdout.startswith("200"), own
    assert other.stdout.startswith("403"), other
    assert "another user's" in other.stdout


async def test_keys_hold_in_studio_too(studio: str, folder: Path) -> None:
    """Each has its own threads, agents and tenant; none writes assistants or schedules."""
    with KeyStore(load_settings(environ={}, env_file=None, data_dir=folder / "data")) as keys:
        ann, bob = (
            keys.create(
                Key(id="", digest="", name=name, tenant="acme", user=name, agents=("assistant",))
            )[1]
            for name in ("ann", "bob")
        )
    ask = {"messages": [{"role": "user", "content": "Say hello"}]}
    async with (
        httpx.AsyncClient(base_url=studio, headers={"Authorization": f"Bearer {ann}"}) as hers,
        httpx.AsyncClient(base_url=studio, headers={"Authorization": f"Bearer {bob}"}) as his,
    ):
        made = (await hers.post("/threads", json={})).json()["thread_id"]
        run = {"assistant_id": "assistant", "input": ask}
        answered = await hers.post(f"/threads/{made}/runs/wait", json=run, timeout=60)
        assert answered.json()["messages"][-1]["content"] == "Echo: Say hello"
        assert (await hers.get(f"/threads/{made}/state")).status_code == 200
        assert (await his.get(f"/threads/{made}/state")).status_code == 404
        assert (await his.post("/threads/search", json={})).json() == []
        assert (await his.post(f"/threads/{made}/runs/wait", json=run)).status_code == 404
        claimed = {**run, "context": {"tenant": "default"}}
        assert (await hers.post(f"/threads/{made}/runs/wait", json=claimed)).status_code == 403
        refused = await hers.post("/assistants", json={"graph_id": "assistant"})
        assert refused.status_code == 403
        wrong = await hers.post("/threads", json={}, headers={"Authorization": "Bearer alt_x_y"})
        assert wrong.status_code == 401


TALL = "The tower is 330 metres tall [1]."
SOLUTION = """```python
# solution.py
def double(n):
    return 2 * n
```
```python
# test_solution.py
from solution import double

def test_it():
    assert double(2) == 4
```"""
TASKS = {
    "assistant": ("How many cm are 3 inches?", {"": "7.62 cm"}, "7.62 cm", {"fit", "respond"}),
    "analyst": (
        "Which region sold most in {folder}/sales.csv?",
        {
            "You plan": "- total per region",
            "You write SQL": "```sql\nSELECT region, sum(amount) AS total FROM sales GROUP BY 1 "
            "ORDER BY 2 DESC\n```",
            "You are a data": "North leads with 1,500.5.",
            "You choose": '{"kind": "bar", "x": "region", "y": "total"}',
        },
        "North leads with 1,500.5.",
        {"plan", "write_sql", "run_sql", "answer", "check", "chart", "report"},
    ),
    "creative": (
        "Write a slogan of exactly three words for a bakery.",
        {
            "You are a writer. Write": "Fresh bread daily",
            "You are an editor": '{"score": 9, "problems": []}',
        },
        "Fresh bread daily",
        {"draft", "critique", "report"},
    ),
    "coder": (
        "Write double(n).",
        {"You are a Python engineer. Write": SOLUTION},
        "The tests pass (1 passed",
        {"write", "approve", "run", "report"},
    ),
    "researcher": (
        "How tall is the tower? {folder}/tower.md",
        {
            "You plan": "- How tall is the tower?",
            "You take notes": f"[1] {TALL[:-5]}",
            "You write a report": TALL,
        },
        TALL,
        {"plan", "report", "verify"},
    ),
}
"""Question, what the model says by the beginning of a step's prompt, the answer, nodes passed."""


def test_no_agent_is_forgotten() -> None:
    assert set(TASKS) == set(registry.names())


@pytest.mark.parametrize("agent", sorted(TASKS))
async def test_each_agent_does_its_work_and_streams_it(
    client: Any, simulator_server: ProviderSimulator, folder: Path, agent: str
) -> None:
    question, steps, begins, nodes = TASKS[agent]
    (folder / "sales.csv").write_text("region,amount\nNorth,1500.5\nSouth,200\n")
    (folder / "tower.md").write_text("# Tower\n\nThe tower is 330 metres tall.\n")

    def answer(request: SimRequest) -> str:
        system = request.asked.turns[0].text
        return next((said for mark, said in steps.items() if system.startswith(mark)), "Nothing.")

    simulator_server.reset()
    simulator_server.answer_with(answer)
    thread = (await client.threads.create())["thread_id"]
    asked = {"messages": [{"role": "user", "content": question.format(folder=folder)}]}
    more: dict[str, Any] = {"input": asked, "context": {"cache": "no-store", "user": "ann"}}
    passed: list[str] = []
    streamed = ""
    while more:
        interrupted = False
        async for part in client.runs.stream(
            thread, agent, stream_mode=["updates", "messages-tuple", "custom"], **more
        ):
            assert part.event != "error", part.data
            if part.event == "updates":
                passed += part.data
                interrupted |= "__interrupt__" in part.data
            elif part.event == "messages" and part.data[0]["type"] in ("ai", "AIMessageChunk"):
                streamed += str(part.data[0]["content"])
        more = {"command": {"resume": "yes"}} if interrupted else {}
    state = (await client.threads.get_state(thread))["values"]
    assert state["messages"][-1]["content"].startswith(begins)
    assert begins in streamed
    assert nodes <= set(passed)
    assert ("__interrupt__" in passed) == registry.find(agent).asks
    assert state["provenance"]["provider"] == "openai"


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


async def test_the_dashboard_stands_beside_the_servers_own_pages(studio: str) -> None:
    async with httpx.AsyncClient(base_url=studio, timeout=60) as browser:
        pages = {
            "/dashboard?period=30d": "<h1>Usage</h1>",
            "/dashboard/rows": "<h1>Calls</h1>",
            "/dashboard/rows.csv": "provider,model,agent",
            "/dashboard/live": "sentence",
            "/dashboard/advice": "<h1>Advice</h1>",
            "/status": "answers_now",
            "/healthz": "ok",
            "/allotrope/metrics": "allotrope_ledger_up 1",
            "/static/plotly.min.js": "plotly.js",
        }
        for path, words in pages.items():
            answer = await browser.get(path)
            assert answer.status_code == 200, (path, answer.text[:500])
            assert words in answer.text, path
            assert "default-src 'none'" in answer.headers["content-security-policy"], path
        assert "content-security-policy" not in (await browser.get("/ok")).headers
        foreign = {"host": "evil.example"}
        assert (await browser.get("/dashboard", headers=foreign)).status_code == 421
