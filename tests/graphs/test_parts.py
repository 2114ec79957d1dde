"""What the nodes work with: tools by what they are, tenants by the settings."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from allotrope import RunContext, Settings, build_agent, load_settings
from allotrope.graphs.assistant import build_graph
from allotrope.graphs.parts import TOOL_SETS, Parts, named
from allotrope.models.chain import chain_of
from allotrope.testing import ProviderSimulator, ScriptedChatModel
from allotrope.usage.assembly import from_settings


def search_tool(about: str) -> BaseTool:
    def search(query: str) -> str:
        return ""

    return StructuredTool.from_function(search, name="search", description=about)


@pytest.fixture
def scripted(tmp_path: Path) -> tuple[Parts, ScriptedChatModel]:
    settings = load_settings(
        environ={}, env_file=None, data_dir=tmp_path, tenant="acme", cache={"enabled": False},
        redis={"embedded": False}, callbacks=[],
    )  # fmt: skip
    model = ScriptedChatModel()
    return Parts(settings, chain_of=lambda profile: chain_of([model])), model


def test_agents_that_share_parts_get_their_own_tools(
    scripted: tuple[Parts, ScriptedChatModel],
) -> None:
    parts, model = scripted
    profile = parts.profiles.get()
    web, customers = search_tool("Search the web."), search_tool("Search the customers.")
    for tool in (web, customers, web):
        parts.model(profile, [tool]).invoke("hi")
        (counted,) = parts.tool_schemas([tool])
        assert model.call_options[-1]["tools"] == [counted]
        assert counted["function"]["description"] == tool.description
    assert parts.bound(profile, [web]) is parts.model(profile, [web]), "bound once"


def test_tools_made_anew_at_each_run_fill_no_memory(
    scripted: tuple[Parts, ScriptedChatModel],
) -> None:
    parts, _ = scripted
    for number in range(TOOL_SETS + 5):
        parts.tool_schemas([search_tool(f"Search {number}.")])
    assert len(parts._schemas._kept) == TOOL_SETS


@pytest.mark.parametrize("given", [None, RunContext(user="ada"), {"user": "ada"}, {"tenant": ""}])
def test_a_run_that_names_no_tenant_is_of_the_settings(
    scripted: tuple[Parts, ScriptedChatModel], given: Any
) -> None:
    parts, _ = scripted
    graph = build_graph(parts=parts, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "sync"}}
    graph.invoke({"messages": [HumanMessage("hi")]}, config, context=given)
    config = {"configurable": {"thread_id": "async"}}
    asyncio.run(graph.ainvoke({"messages": [HumanMessage("hi")]}, config, context=given))
    parts.close()
    for thread in ("sync", "async"):
        assert parts.memory.archive.thread("acme", thread) is not None
        assert parts.memory.archive.thread("default", thread) is None
    parts.close()


@pytest.mark.parametrize("given", [None, RunContext(user="ada"), {"user": "ada"}])
def test_an_agents_thread_is_of_the_settings_tenant(
    simulator_settings: Settings, given: Any
) -> None:
    with build_agent(settings=simulator_settings.model_copy(update={"tenant": "acme"})) as agent:
        agent.ask("First", thread_id="t", context=given)
        assert len(agent.history("t")) == 2
        assert len(agent.history("t", context={"tenant": "acme"})) == 2
        assert agent.history("t", context=RunContext(tenant="default")) == []


class Booked(BaseCallbackHandler):
    """Whose calls there were."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, Any]] = []

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, metadata: Any = None, **kwargs: Any
    ) -> None:
        self.metadata.append(dict(metadata or {}))


def test_summaries_are_booked_to_the_runs_tenant(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    memory = simulator_settings.memory.model_copy(
        update={"summary": "model", "summary_every_tokens": 64}
    )
    settings = simulator_settings.model_copy(update={"memory": memory})
    booked = Booked()
    parts = Parts(settings, callbacks=[booked])
    with build_agent(settings=settings, parts=parts) as agent:
        for n in range(8):
            agent.ask(f"My cat number {n} is called Tom and lives in Rome. " * 8, thread_id="t",
                      context={"tenant": "newsroom"})  # fmt: skip
    parts.close(timeout_s=10)
    found = [one for one in booked.metadata if one["allotrope_agent"] == "summariser"]
    assert found
    assert {(one["allotrope_tenant"], one["thread_id"]) for one in found} == {("newsroom", "t")}


def test_a_factory_that_has_moved_is_found_under_its_old_name() -> None:
    with pytest.warns(DeprecationWarning, match="allotrope.usage.assembly.from_settings now"):
        assert named("allotrope.usage.recorder:from_settings") is from_settings
