"""The docs' pictures are the graphs'; registry, langgraph.json and graphs agree.

`python tests/agents/test_pictures.py` draws the pictures anew.
"""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from allotrope.agents import registry

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "agents.md"
_PLACE = re.compile(r"<!-- picture: (\w+) -->\n(?:```mermaid\n.*?```\n)?", re.DOTALL)


def picture(name: str) -> str:
    """The Mermaid drawing of an agent's graph, without colours."""
    graph = importlib.import_module(f"allotrope.graphs.{name}").graph.get_graph()
    lines = graph.draw_mermaid(with_styles=False).strip().split("\n")
    return "\n".join(line.rstrip() for line in lines)


def drawn(page: str) -> str:
    """The page with the pictures as the graphs are now."""

    def put(place: re.Match[str]) -> str:
        return f"<!-- picture: {place[1]} -->\n```mermaid\n{picture(place[1])}\n```\n"

    return _PLACE.sub(put, page)


def test_the_pictures_in_the_docs_are_the_graphs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert {place[1] for place in _PLACE.finditer(page)} == set(registry.names())
    assert page == drawn(page), "run: python tests/agents/test_pictures.py"


@pytest.mark.parametrize("name", registry.names())
def test_every_agent_is_whole(name: str) -> None:
    spec = registry.find(name)
    entry = json.loads((ROOT / "langgraph.json").read_text())["graphs"][name]
    assert entry == {"path": f"allotrope.graphs.{name}:graph", "description": spec.summary}
    module = importlib.import_module(f"allotrope.graphs.{name}")
    assert module.graph.checkpointer is None
    assert module.graph.name == name
    form = module.graph.get_context_jsonschema()["properties"]
    assert {"profile", "prompt_label", "budget_tokens", "tenant", "tools_allowed"} <= set(form)
    assert all(field.get("description") for field in form.values())
    assert module.graph.get_input_jsonschema()["properties"]["messages"]
    nodes = set(module.graph.get_graph().nodes)
    assert {"fit", "finish"} <= nodes
    assert nodes & {"respond", "report"}
    assert (ROOT / "agents" / f"{name}.py").exists()


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
