"""One question to the chain, ready to be asked: the same for `respond` and for every step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig

from allotrope.contracts import Configurable, Metadata
from allotrope.graphs.context import RunContext
from allotrope.graphs.prompt.injection import sources_of
from allotrope.graphs.prompt.packing import PackedPrompt, learnt

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from allotrope.graphs.parts import Parts
    from allotrope.models.profiles.profile import Profile
    from allotrope.prompts.template import PromptTemplateVersion


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Args:
        agent: The agent's name.
        context: Tenant, user, labels and limits of the run.
        template: The prompt's version.
        profile: The parameters.
        documents: What the agent has read (`documents.documents_of`).
    """

    agent: str
    context: RunContext
    template: "PromptTemplateVersion"
    profile: "Profile"
    documents: Sequence[str] = ()

    def metadata(self, packed: PackedPrompt) -> dict[str, Any]:
        """The run metadata of a call (docs/contracts.md), without what isn't known.

        Args:
            packed: What is sent.
        """
        context, profile = self.context, self.profile
        metadata = {
            Metadata.AGENT: self.agent,
            Metadata.PROFILE: profile.name,
            Metadata.PROMPT: self.template.ref,
            Metadata.VARIANT: context.variant,
            Metadata.TENANT: context.tenant,
            Metadata.USER: context.user,
            Metadata.ALLOWANCE: context.allowance or None,
            Metadata.CACHE: profile.cache_directive(context.cache),
            Metadata.MAX_COST_USD: profile.max_cost,
            Metadata.CONTEXT_FULL_TOKENS: packed.audit.get("thread_tokens"),
            Metadata.CONTEXT_TOKENS: packed.audit.get("tokens"),
            Metadata.CONTEXT_WINDOW: packed.window,
            Metadata.DOCS: [*sources_of(context, self.template), *self.documents] or None,
        }
        return {name: value for name, value in metadata.items() if value is not None}


@dataclass(frozen=True)
class PreparedCall:
    """One question to the chain.

    Args:
        messages: To send.
        profile: The parameters.
        tools: What the model may call.
        config: Of the call: metadata, and the hook that packs anew for another model.
        audit: What is in the prompt and why.
        counted: The prompt's tokens by our own count.
    """

    messages: list[BaseMessage]
    profile: "Profile"
    tools: "Sequence[BaseTool]"
    config: RunnableConfig
    audit: dict[str, Any]
    counted: int

    def learnt(self, known: "dict[str, list[float]] | None", reply: AIMessage) -> dict[str, Any]:
        """The state's update: the audit, and how our count compares to what the provider reports.

        Args:
            known: The calibration so far.
            reply: What came back.
        """
        return {"audit": self.audit, "calibration": learnt(known or {}, self.counted, reply)}


def profile_for(
    parts: "Parts", *, agent: str, own: str | None, context: RunContext, thread: str | None
) -> "Profile":
    """The profile of a call: what a budget asks for, else the run's, else the agent's own.

    Args:
        parts: Profiles and callbacks.
        agent: The agent's name.
        own: The agent's profile.
        context: Of the run.
        thread: The thread, or None.
    """
    advised = parts.advised_profile(
        agent=agent, tenant=context.tenant, user=context.user, thread=thread
    )
    if advised is not None:
        return parts.profiles.get(advised, agent=agent, own=own)
    return parts.profile_of(context, agent=agent, own=own)


def prepared(
    config: RunnableConfig,
    *,
    caller: Caller,
    packed: PackedPrompt,
    repack: Callable[[list[BaseMessage], int], list[BaseMessage]],
    tools: "Sequence[BaseTool]" = (),
    tags: Sequence[str] = (),
    repair: bool = False,
) -> PreparedCall:
    """A packed prompt with all that a call carries.

    Args:
        config: Of the node's run.
        caller: Who asks.
        packed: The prompt.
        repack: Packs it for another model (`Configurable.REPACK`).
        tools: What the model may call.
        tags: More tags for the call.
        repair: Whether it asks to put something right: the cached answer would be the wrong one.
    """
    from allotrope.models.call.prompt_caching import stable_marked

    metadata = caller.metadata(packed)
    if repair:
        metadata[Metadata.CACHE] = f"{metadata[Metadata.CACHE]}, no-cache"

    asked: RunnableConfig = {
        **config,
        "metadata": {**config.get("metadata", {}), **metadata},
        "configurable": {**config.get("configurable", {}), Configurable.REPACK: repack},
    }
    if tags:
        asked["tags"] = [*(config.get("tags") or []), *tags]
    messages = packed.messages
    if caller.template.opens_alike:
        messages = stable_marked(messages)
    return PreparedCall(
        messages=messages,
        profile=caller.profile,
        tools=tools,
        config=asked,
        audit=packed.audit,
        counted=packed.counted,
    )
