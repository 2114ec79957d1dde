"""Agents on scripted answers: the graph, its files and its sandbox are real, the model isn't."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from allotrope.agents import registry
from allotrope.graphs.parts import Parts
from allotrope.models.chain import FailoverChain
from allotrope.settings import load_settings
from allotrope.testing import ScriptedChatModel


@dataclass
class Bench:
    """An agent with a scripted model.

    Args:
        graph: The compiled graph.
        model: The model, with what it was asked.
        parts: What the nodes work with.
        config: Thread and limits.
    """

    graph: Any
    model: ScriptedChatModel
    parts: Parts
    config: dict[str, Any]

    def ask(self, text: str, **more: Any) -> dict[str, Any]:
        state: dict[str, Any] = self.graph.invoke(
            {"messages": [HumanMessage(text)], **more}, self.config
        )
        return state

    async def aask(self, text: str, **more: Any) -> dict[str, Any]:
        state: dict[str, Any] = await self.graph.ainvoke(
            {"messages": [HumanMessage(text)], **more}, self.config
        )
        return state

    def prompts(self) -> list[str]:
        """What the model was asked, one text a call."""
        return ["\n".join(str(m.text) for m in call) for call in self.model.calls]


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeBench:
    """`bench("analyst", answers, sql_timeout_s=2)`; the working folder is the test's own."""
    monkeypatch.chdir(tmp_path)

    def make(agent: str, answers: list[Any], *, limit: int = 50, **limits: Any) -> Bench:
        settings = load_settings(
            environ={},
            env_file=None,
            data_dir=tmp_path / "data",
            cache={"enabled": False},
            agents={"output_dir": tmp_path / "out", **limits},
        )
        model = ScriptedChatModel(answers=answers, strict=True)
        parts = Parts(
            settings,
            chain_of=lambda profile: FailoverChain(runnable=model, fallbacks=[]),
            callbacks=[],
        )
        graph = registry.find(agent).build(parts=parts, checkpointer=InMemorySaver())
        return Bench(
            graph, model, parts, {"configurable": {"thread_id": "t"}, "recursion_limit": limit}
        )

    return make
