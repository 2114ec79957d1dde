"""LangSmith's tracing of a turn: each call once, below the chain that makes it."""

import json
import logging
from typing import Any

import pytest
import requests
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import StateGraph
from langsmith import Client, tracing_context
from requests.adapters import BaseAdapter

from allotrope.models.breaker.circuits import Circuits
from allotrope.models.chain import build_chain
from allotrope.settings import load_settings
from allotrope.testing import ProviderSimulator


class Collector(BaseAdapter):
    """Stands in for LangSmith's server and keeps the runs that begin."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[dict[str, Any]] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]  # its options don't matter
        if request.method == "POST" and request.body:
            self.runs.append(json.loads(request.body))
        response = requests.Response()
        response.status_code, response.request, response._content = 202, request, b"{}"
        return response

    def close(self) -> None:
        """Nothing to close."""


@tool
def weather(city: str) -> str:
    """Says how the weather is."""
    return "sunny"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_call_is_traced_once_below_its_chain(
    asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    collector, session = Collector(), requests.Session()
    client = Client(
        api_url="https://traces.test", api_key="x", session=session, auto_batch_tracing=False
    )
    session.mount("https://", collector)
    with ProviderSimulator() as sim:
        settings = load_settings(
            environ={},
            env_file=None,
            openai={"api_key": "sk-simulator", "base_url": sim.openai_url},
            ollama={"enabled": False},
            embedded={"enabled": False},
        )
        chain = build_chain(settings, circuits=Circuits()).bind_tools([weather])

        def respond(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
            chain.invoke("hello", config)
            return {}

        async def arespond(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
            await chain.ainvoke("hello", config)
            return {}

        graph = StateGraph(dict)
        graph.add_node("respond", arespond if asynchronous else respond)  # type: ignore[type-var]  # a state of no keys will do
        graph.set_entry_point("respond")
        config: RunnableConfig = {"configurable": {"shelf": "a"}}  # goes to the tracer
        warned = caplog.at_level(logging.WARNING, logger="langchain_core")
        with tracing_context(enabled=True, client=client), warned:
            if asynchronous:
                await graph.compile().ainvoke({}, config)
            else:
                graph.compile().invoke({}, config)
        # other tests' recorders may still write, and say what they met
        ours = [one for one in caplog.records if one.name.startswith("langchain_core")]
        assert [record.message for record in ours] == []
    by_name = {run["name"]: run for run in collector.runs}
    assert len(by_name) == len(collector.runs), "one run is one trace"
    assert by_name["OpenAIChat"]["parent_run_id"] == by_name["FailoverChain"]["id"]
