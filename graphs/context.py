"""What a run is told besides its messages: the `context_schema`, shown as a form in Studio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import InputError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from langgraph.prebuilt import ToolRuntime
    from langgraph.runtime import Runtime


def _about(text: str) -> dict[str, str]:
    return {"description": text}


@dataclass(frozen=True)
class RunContext:
    """Who asks, and with which profile, prompt and limits."""

    profile: str | None = field(
        default=None, metadata=_about("Named parameter set; empty: the agent's own.")
    )
    prompt_label: str = field(
        default="",
        metadata=_about("Which version of the prompt: a label or a number; empty: production."),
    )
    budget_tokens: int | None = field(
        default=None,
        metadata=_about("Most tokens the conversation may take in the prompt; empty: the window."),
    )
    tenant: str = field(
        default="", metadata=_about("Whose data this run may see; empty: the settings' tenant.")
    )
    user: str | None = field(
        default=None, metadata=_about("Who asks, for usage and long-term facts.")
    )
    allowance: str = field(
        default="",
        metadata=_about("A budget of the user's own, such as usd 5 month; empty: none."),
    )
    time_zone: str | None = field(
        default=None, metadata=_about("The user's time zone, such as Europe/Berlin; empty: UTC.")
    )
    user_profile: dict[str, str] | None = field(
        default=None,
        metadata=_about("What is known of the user, for prompts with the slot `user`."),
    )
    documents: list[str | dict[str, str]] | None = field(
        default=None,
        metadata=_about(
            "Texts, or text and source, for prompts with the slot `documents`; best first."
        ),
    )
    tools_allowed: list[str] | None = field(
        default=None, metadata=_about("Names of the tools the agent may call; empty: all it has.")
    )
    variant: str | None = field(default=None, metadata=_about("Variant of a running experiment."))
    cache: str = field(
        default="",
        metadata=_about(
            "use, no-store, no-cache, or max-age=SECONDS; empty: what the profile says."
        ),
    )


def context_of(given: RunContext | Mapping[str, Any] | None, *, tenant: str = "") -> RunContext:
    """The context of a run; LangGraph gives None where the caller passed none.

    Args:
        given: `runtime.context`.
        tenant: The settings' tenant, for a run that names none.
    """
    if given is None:
        context = RunContext()
    elif isinstance(given, RunContext):
        context = given
    else:
        known = {f.name for f in fields(RunContext)}
        context = RunContext(**{name: value for name, value in given.items() if name in known})
    return context if context.tenant or not tenant else replace(context, tenant=tenant)


def allowed(tools: "Sequence[BaseTool]", context: RunContext) -> "list[BaseTool]":
    """The tools of an agent that this run may call."""
    if context.tools_allowed is None:
        return list(tools)
    return [tool for tool in tools if tool.name in context.tools_allowed]


def context_of_run(
    runtime: "Runtime[Any] | ToolRuntime[Any, Any]", *, tenant: str = ""
) -> RunContext:
    """The context of the run that is under way.

    Where LangGraph's server knows who calls, tenant, user, budget and tools are the caller's,
    whatever the client wrote into the context.

    Args:
        runtime: Of the run.
        tenant: The settings' tenant, for a run that names none.

    Raises:
        InputError: The caller may not ask this agent.
    """
    context = context_of(runtime.context, tenant=tenant)
    server = runtime.server_info
    if server is None or server.user is None:
        return context
    caller = server.user
    if "agents" in caller and server.graph_id not in caller["agents"]:
        raise InputError(f"There is no agent {server.graph_id!r} for you.")
    bound = {name: caller[name] for name in ("tenant", "user", "allowance") if name in caller}
    if "tools_allowed" in caller:
        asked = context.tools_allowed
        bound["tools_allowed"] = [
            name for name in caller["tools_allowed"] if asked is None or name in asked
        ]
    return replace(context, **bound)


def pinned_by(given: RunContext | Mapping[str, Any] | None) -> frozenset[str]:
    """The fields of a run's context that its caller set.

    Args:
        given: What the caller gave. Of a whole `RunContext`, what differs from the default counts.
    """
    if given is None:
        return frozenset()
    if isinstance(given, RunContext):
        return frozenset(f.name for f in fields(given) if getattr(given, f.name) != f.default)
    return frozenset(name for name, value in given.items() if value is not None)
