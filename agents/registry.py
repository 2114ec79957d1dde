"""The one list of agents; the CLI, `langgraph.json` and the docs are checked against it."""

import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from allotrope.agents.spec import AgentSpec
from allotrope.exceptions import SettingsError, UnknownAgentError

AGENTS = ("analyst", "assistant", "coder", "creative", "researcher")
"""Names of the built-in agents; each has a module `allotrope.agents.<name>` with its `SPEC`."""

GROUP = "allotrope.agents"
"""Entry points of this group add agents: `name = "package.module:SPEC"`."""


def names() -> tuple[str, ...]:
    """The names of all agents: the built-in ones, then those of installed packages."""
    return (*AGENTS, *sorted(_installed()))


def find(name: str) -> AgentSpec:
    """The agent of a name. Installed packages are looked at only when it isn't built in.

    Raises:
        UnknownAgentError: There is none; the message lists them and suggests the nearest.
        SettingsError: A package offers it, but it can't be loaded.
    """
    if name in AGENTS:
        spec: AgentSpec = importlib.import_module(f"allotrope.agents.{name}").SPEC
        return spec
    if name in _installed():
        return _loaded(_installed()[name])
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), names(), n=1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    raise UnknownAgentError(
        f"There is no agent {name[:60]!r}.", hint=f"{meant}Known agents: {', '.join(names())}."
    )


@cache
def _installed() -> dict[str, EntryPoint]:
    """Agents of installed packages by name; a built-in name can't be taken."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in AGENTS}


def _loaded(point: EntryPoint) -> AgentSpec:
    package = point.dist.name if point.dist else "?"
    try:
        spec = point.load()
    except Exception as exc:
        raise SettingsError(
            f"The agent {point.name!r} of the package {package} can't be loaded: "
            f"{type(exc).__name__}: {exc}.",
            hint=f"Mend or uninstall {package}.",
        ) from exc
    if not isinstance(spec, AgentSpec) or spec.name != point.name:
        raise SettingsError(
            f"The entry point {point.name!r} of the package {package} isn't its AgentSpec.",
            hint=f"Let {point.value} be AgentSpec(name={point.name!r}, …).",
        )
    return spec
