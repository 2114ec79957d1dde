"""The prompt of one model call: the template around what memory packs into the model's window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from allotrope.contracts import STAMP
from allotrope.graphs.context import RunContext
from allotrope.graphs.prompt.injection import (
    blanks,
    lift_memory,
    memory_rooms,
    open_slots,
    request_of,
    told,
)
from allotrope.graphs.prompt.window import budget_of, told_ratio
from allotrope.memory.context.fit import fit
from allotrope.memory.context.pieces import latest_user_at
from allotrope.memory.tokens.counting import Calibration, TokenCounter
from allotrope.prompts.providers import ContextPiece
from allotrope.support.fencing import Untrusted, Value
from allotrope.support.providers import first_ratio

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from allotrope.graphs.parts import Parts
    from allotrope.graphs.state import AgentState
    from allotrope.models.profiles.profile import Profile
    from allotrope.prompts.context import Found, SlotUse
    from allotrope.prompts.template import PromptTemplateVersion

_UNKNOWN_BUDGET = 7_000
"""Tokens of conversation for a model that isn't ours (a scripted one in a test)."""


@dataclass(frozen=True)
class PackedPrompt:
    """A rendered prompt.

    Args:
        messages: To send.
        audit: What is in it and why, plain types.
        counted: Its tokens by our own count, tools included, without calibration.
        window: The model's window, where known.
        tools: Tokens of the tool schemas.
    """

    messages: list[BaseMessage]
    audit: dict[str, Any]
    counted: int
    window: int | None
    tools: int


def pack_prompt(
    state: "AgentState",
    *,
    parts: "Parts",
    template: "PromptTemplateVersion",
    profile: "Profile",
    tools: "Sequence[BaseTool]",
    context: RunContext,
    thread: str | None,
    values: Mapping[str, Value] | None = None,
    agent: str | None = None,
    found: "Found | None" = None,
) -> PackedPrompt:
    """Packs the conversation for the first model of the chain and renders the template around it.

    Context slots that the template declares are filled first, each within its share of the tokens
    that the conversation may have; the conversation gets what they leave. A model that takes over
    packs it again for its own window (`window.repack_with`).

    Args:
        state: The live messages, and the calibration of the thread.
        parts: Memory, chain and settings.
        template: The prompt; it has the placeholder `messages`.
        profile: Its style and context limit.
        tools: What the model may call.
        context: Tenant, token limit, documents and user profile of the run.
        thread: The thread, or None for a run that isn't kept.
        values: More values for the template; slots among them are left to the caller.
        agent: The agent's name, for context providers.
        found: What providers gave for `injection.open_slots` already; default: they are asked
            here, one after the other.

    Raises:
        PromptError: A variable or slot that the template requires is missing.
        InputTooLongError: What must be in doesn't fit.
    """
    memory = parts.memory
    given: dict[str, Value] = dict(values or {})
    if profile.style:
        given["style"] = Untrusted(profile.style)
    counter = room_counter(state, parts=parts, profile=profile)
    system = _around(template, given, counter)
    schemas = parts.tool_schemas(tools)
    taken = counter.tools(schemas)
    whole = room_of(parts=parts, profile=profile, context=context, system=system, tools=taken)
    window, room = whole.window, whole.tokens
    slots = open_slots(template, given)
    uses: list[SlotUse] = []
    if slots:
        if found is None:
            request = request_of(
                context, parts=parts, agent=agent, thread=thread, messages=state["messages"],
                tools=tools,
            )  # fmt: skip
            found = parts.injector.gather(slots, request)
        most = min(room, memory.settings.context_tokens) - _current(state["messages"], counter)
        injection = parts.injector.pack(template, found, budget_tokens=most, count=counter.text)
        given |= injection.values
        uses += injection.uses
        filled = _around(template, given, counter) - system
        room, system = room - filled, system + filled
    if thread is None:
        plain = fit(
            state["messages"],
            budget=min(room, parts.settings.memory.context_tokens),
            counter=counter,
        )
        messages, audit = plain.messages, dict(plain.audit)
    else:
        pack = memory.fit(
            state["messages"],
            budget=room,
            thread=thread,
            tenant=context.tenant,
            pinned=memory.about(
                context.user, tenant=context.tenant, thread=thread, messages=state["messages"]
            ),
            ratio=counter.ratio,
            slots=memory_rooms(template, parts.injector, counter.text),
        )
        messages, audit = pack.messages, dict(pack.audit)
    messages, remembered = lift_memory(messages, template)
    if remembered:
        lifted = {
            name: [ContextPiece(text)] for name, text in remembered.items() if name not in given
        }
        injection = parts.injector.pack(
            template, lifted, budget_tokens=audit["budget"], count=counter.text
        )
        given |= injection.values
        uses += injection.uses
    audit["window"] = window
    audit["prompt"] = {"system": system, "tools": taken}
    if shown := told(uses):
        audit["slots"] = shown
    rendered = template.render({**given, "messages": messages})
    return PackedPrompt(
        messages=rendered,
        audit=audit,
        counted=memory.counter.messages(rendered) + memory.counter.tools(schemas),
        window=window,
        tools=taken,
    )


def _around(
    template: "PromptTemplateVersion", given: Mapping[str, Value], counter: TokenCounter
) -> int:
    """Tokens of a prompt without its conversation."""
    one = HumanMessage("x")
    rendered = template.render({**blanks(template), **given, "messages": [one]})
    return counter.messages(rendered) - counter.message(one)


def _current(messages: Sequence[BaseMessage], counter: TokenCounter) -> int:
    """Tokens of the current turn: the latest question and the run that follows it."""
    at = latest_user_at(messages)
    return 0 if at is None else sum(counter.message(message) for message in messages[at:])


@dataclass(frozen=True)
class Room:
    """What a prompt may have in the window of the chain's first model.

    Args:
        tokens: For the conversation, in the model's own tokens.
        window: The model's window, where known.
    """

    tokens: int
    window: int | None


def room_counter(state: Mapping[str, Any], *, parts: "Parts", profile: "Profile") -> TokenCounter:
    """The counter for the chain's first model, by its own count or the thread's calibration.

    Args:
        state: It has the `calibration`.
        parts: Memory and chain.
        profile: Which chain.
    """
    model: Any = parts.chain(profile).serving_model
    counter = parts.memory.counter
    ratio = told_ratio(model, state.get("messages") or (), counter)
    if ratio is None:
        provider = getattr(model, "provider", "openai")
        known = (state.get("calibration") or {}).get(provider)
        ratio = known[0] if known else first_ratio(provider)
    return counter.calibrated(ratio)


def room_of(
    *,
    parts: "Parts",
    profile: "Profile",
    context: RunContext,
    system: int = 0,
    tools: int = 0,
) -> Room:
    """What a prompt may have for the first model of the chain.

    Args:
        parts: Chain and settings.
        profile: Which chain, and its context limit.
        context: The token limit of the run.
        system: Tokens that the prompt has around it.
        tools: Tokens of the tool schemas.
    """
    model: Any = parts.chain(profile).serving_model
    limits = [context.budget_tokens, profile.budget.max_context_tokens]
    cap = min((limit for limit in limits if limit), default=None)
    if not hasattr(model, "guard_with"):  # no model of ours
        return Room(min(cap or _UNKNOWN_BUDGET, _UNKNOWN_BUDGET), None)
    budget = budget_of(model, parts.settings, tools=tools, system=system, cap=cap)
    return Room(budget.conversation, budget.window)


def learnt(
    known: Mapping[str, Sequence[float]], counted: int, reply: AIMessage
) -> dict[str, list[float]]:
    """The calibration with one more report; cache hits report nothing.

    Args:
        known: By provider, `[ratio, samples]`.
        counted: The prompt's tokens by our own count.
        reply: Its usage and provenance.
    """
    result = {provider: list(values) for provider, values in known.items()}
    stamp = reply.response_metadata.get(STAMP) or {}
    usage = reply.usage_metadata
    # a model that took over may have been sent a smaller pack than was counted
    if not usage or not isinstance(stamp, dict) or stamp.get("cached") or stamp.get("failover"):
        return result
    provider = str(stamp.get("provider", "openai"))
    before = result.get(provider, [1.0, 0])
    after = Calibration(before[0], int(before[1])).updated(
        counted=counted, reported=usage["input_tokens"]
    )
    if after.samples:
        result[provider] = [round(after.ratio, 4), after.samples]
    return result
