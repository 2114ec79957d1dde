"""Context for a prompt's slots: what a run has, what providers give, what memory has packed."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage

from allotrope.graphs.context import RunContext
from allotrope.memory.context.block import MemoryMessage, SlotRoom
from allotrope.prompts.context import ContextInjector, Found, SlotUse
from allotrope.prompts.providers import ContextPiece, ContextRequest
from allotrope.support.fencing import Fenced, Value

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from allotrope.graphs.parts import Parts
    from allotrope.prompts.template import PromptTemplateVersion

REMEMBERED = ("summary", "recalled")
"""Slots that memory fills: what it would else put before the conversation as a message."""


def open_slots(template: "PromptTemplateVersion", given: Collection[str] = ()) -> tuple[str, ...]:
    """The slots of a template that providers fill.

    Args:
        template: The prompt.
        given: Names that the graph fills itself.
    """
    return tuple(
        name for name in template.meta.context if name not in given and name not in REMEMBERED
    )


def request_of(
    context: RunContext,
    *,
    parts: "Parts",
    agent: str | None,
    thread: str | None,
    messages: Sequence[BaseMessage],
    tools: "Sequence[BaseTool]" = (),
) -> ContextRequest:
    """What providers may look at.

    Args:
        context: Who asks, with documents, user profile and time zone.
        parts: For the clock.
        agent: The agent's name.
        thread: The conversation, or None.
        messages: The live messages; the user's latest is the question.
        tools: What the model may call.
    """
    question = next((m.text for m in reversed(messages) if m.type == "human"), "")
    given = {"user": context.user_profile, "documents": context.documents, "tools": tools}
    return ContextRequest(
        now=parts.clock(),
        question=question,
        agent=agent,
        tenant=context.tenant,
        user=context.user,
        thread_id=thread,
        time_zone=context.time_zone,
        given={name: value for name, value in given.items() if value},
    )


async def gathered(
    template: "PromptTemplateVersion",
    context: RunContext,
    *,
    parts: "Parts",
    agent: str | None,
    thread: str | None,
    messages: Sequence[BaseMessage],
    tools: "Sequence[BaseTool]" = (),
    given: Collection[str] = (),
) -> Found | None:
    """What providers give for a template's slots; they may wait, so they run on the event loop.

    Args:
        template: The prompt.
        context: As for `request_of`, like the arguments that follow.
        parts: With the injector.
        agent: The agent's name.
        thread: The conversation, or None.
        messages: The live messages.
        tools: What the model may call.
        given: Names that the graph fills itself.

    Returns:
        None where the template has no such slot.
    """
    slots = open_slots(template, given)
    if not slots:
        return None
    request = request_of(
        context, parts=parts, agent=agent, thread=thread, messages=messages, tools=tools
    )
    return await parts.injector.agather(slots, request)


def blanks(template: "PromptTemplateVersion") -> dict[str, Value]:
    """Stand-ins for required slots, to count a template before anything fills it."""
    return {name: Fenced("-") for name, slot in template.meta.context.items() if slot.required}


def memory_rooms(
    template: "PromptTemplateVersion", injector: ContextInjector, count: Callable[[str], int]
) -> Callable[[int], Mapping[str, SlotRoom]] | None:
    """What the template's slots for memory may hold, by the tokens of the conversation.

    Args:
        template: The prompt.
        injector: Knows the slots' shares.
        count: Counts the tokens of a text.

    Returns:
        None where the template has no such slot.
    """
    names = [name for name in REMEMBERED if name in template.meta.context]
    if not names:
        return None

    def cost(name: str) -> Callable[[str], int]:
        return lambda text: count(injector.dressed(template, name, ContextPiece(text)))

    def rooms(budget_tokens: int) -> dict[str, SlotRoom]:
        limits = injector.limits(template, names, budget_tokens=budget_tokens)
        return {name: SlotRoom(limits[name], cost(name)) for name in names}

    return rooms


def lift_memory(
    messages: Sequence[BaseMessage], template: "PromptTemplateVersion"
) -> tuple[list[BaseMessage], dict[str, str]]:
    """Takes summary and recalled lines out of the conversation where a template has slots for them.

    Args:
        messages: As memory packed them.
        template: The prompt.

    Returns:
        The messages without what went into a slot, and the slots' texts.
    """
    wanted = [name for name in REMEMBERED if name in template.meta.context]
    if not wanted:
        return list(messages), {}
    rest: list[BaseMessage] = []
    texts: dict[str, str] = {}
    for message in messages:
        if not isinstance(message, MemoryMessage):
            rest.append(message)
            continue
        parts = {"summary": message.notes, "recalled": message.recalled}
        texts |= {name: parts[name] for name in wanted}
        kept = message.without(notes="summary" in wanted, recalled="recalled" in wanted)
        rest += [] if kept is None else [kept]
    return rest, texts


def told(uses: Sequence[SlotUse]) -> list[dict[str, Any]]:
    """What became of the slots, in plain types for the audit; unused ones are left out."""
    return [
        {**asdict(use), "dropped": list(use.dropped)[:20]}
        for use in uses
        if use.pieces or use.dropped or use.problem
    ]


def sources_of(context: RunContext, template: "PromptTemplateVersion") -> list[str]:
    """The sources of the documents in a prompt: the cache's tags of its answer."""
    if "documents" not in template.meta.context:
        return []
    found = [item.get("source") for item in context.documents or () if isinstance(item, Mapping)]
    return [source for source in dict.fromkeys(found) if source]
