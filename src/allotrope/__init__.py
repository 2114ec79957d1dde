"""Allotrope: LangChain/LangGraph agents that stay cheap, fast and up.

from allotrope import build_agent

with build_agent("assistant") as agent:
    print(agent.ask("What is the capital of France?").answer)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from allotrope.support.moved import find_moved_modules

if TYPE_CHECKING:
    from allotrope.agents.agent import Agent, build_agent
    from allotrope.agents.reply import Reply
    from allotrope.exceptions import AllotropeError
    from allotrope.graphs.context import RunContext
    from allotrope.settings import Settings, load_settings

__all__ = [
    "Agent",
    "AllotropeError",
    "Reply",
    "RunContext",
    "Settings",
    "build_agent",
    "load_settings",
]

_HOMES = {
    "Agent": "allotrope.agents.agent",
    "AllotropeError": "allotrope.exceptions",
    "Reply": "allotrope.agents.reply",
    "RunContext": "allotrope.graphs.context",
    "Settings": "allotrope.settings",
    "build_agent": "allotrope.agents.agent",
    "load_settings": "allotrope.settings",
}


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use: `import allotrope` alone must not cost LangChain."""
    if name not in _HOMES:
        raise AttributeError(f"module 'allotrope' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


find_moved_modules()
