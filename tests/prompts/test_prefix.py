"""Stable text first: what the provider can reuse from one turn to the next."""

import json

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from allotrope.prompts.library import TEMPLATES, PromptLibrary
from allotrope.prompts.stores.sources import FolderSource

AGENTS = ["assistant", "analyst", "creative", "coder", "researcher"]


def wire(messages: list[BaseMessage]) -> str:
    """The prompt as the provider reads it, from the front."""
    return "".join(json.dumps([m.type, m.content]) for m in messages)


def shared(first: str, second: str) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )


@pytest.fixture(scope="module")
def library() -> PromptLibrary:
    return PromptLibrary([FolderSource(TEMPLATES)])


@pytest.mark.parametrize("name", AGENTS)
def test_the_next_turn_shares_everything_before_it(library: PromptLibrary, name: str) -> None:
    """Documents and user profile change; system text and history stay the prefix."""
    version = library.get(name)
    history = [HumanMessage("Hi, I am Ann."), AIMessage("Hello Ann."), HumanMessage("Add 2 and 2.")]
    before = wire(
        version.render_untrusted({"messages": history, "user": "Ann", "documents": "one"})
    )
    after = wire(
        version.render_untrusted(
            {
                "messages": [*history, AIMessage("4"), HumanMessage("And 3?")],
                "user": "Ann, who adds",
                "documents": "two",
            }
        )
    )
    system_and_history = len(wire(version.render_untrusted({"messages": history})))
    assert shared(before, after) >= system_and_history


@pytest.mark.parametrize("name", AGENTS)
def test_two_users_share_the_system_text(library: PromptLibrary, name: str) -> None:
    version = library.get(name)
    ann = wire(
        version.render_untrusted({"messages": [HumanMessage("a")], "user": "Ann", "documents": "x"})
    )
    bob = wire(
        version.render_untrusted({"messages": [HumanMessage("b")], "user": "Bob", "documents": "y"})
    )
    system = len(json.dumps(["system", version.render_untrusted({"messages": []})[0].content]))
    assert shared(ann, bob) >= system


def test_steps_put_their_instructions_before_their_material(library: PromptLibrary) -> None:
    for name in ("analyst.sql", "analyst.answer", "researcher.notes", "researcher.report"):
        version = library.get(name)
        slot = next(iter(version.meta.context))
        one = wire(version.render_untrusted({"question": "Q1", slot: "x"}))
        two = wire(version.render_untrusted({"question": "Q2", slot: "y"}))
        assert shared(one, two) >= len(
            version.render_untrusted({"question": "Q", slot: "x"})[0].text
        )
