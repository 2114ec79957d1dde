"""The one list of agents; the CLI, `langgraph.json` and the docs are checked against it."""

import importlib

from allotrope.agents.spec import AgentSpec
from allotrope.exceptions import UnknownAgentError

AGENTS = ("analyst", "assistant", "coder", "creative", "researcher")
"""Names of the agents; each has a module `allotrope.agents.<name>` with its `SPEC`."""


def names() -> tuple[str, ...]:
    """The names of all agents."""
    return AGENTS


def find(name: str) -> AgentSpec:
    """The agent of a name.

    Raises:
        UnknownAgentError: There is none; the message lists them and suggests the nearest.
    """
    if name not in AGENTS:
        from difflib import get_close_matches

        near = get_close_matches(name.lower(), AGENTS, n=1)
        meant = f"Did you mean {near[0]!r}? " if near else ""
        raise UnknownAgentError(
            f"There is no agent {name[:60]!r}.", hint=f"{meant}Known agents: {', '.join(AGENTS)}."
        )
    spec: AgentSpec = importlib.import_module(f"allotrope.agents.{name}").SPEC
    return spec
