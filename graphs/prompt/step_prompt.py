"""The prompt of a step: its template's texts and the conversation, packed into one window.

A step's own texts (tables, passages, code, test output) come first: they are what it is about.
Where they are too long for the model, each is shortened to its share. What is left of the window
goes to the conversation, which memory packs as it does for a plain answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, HumanMessage

from allotrope.exceptions import InputTooLongError
from allotrope.graphs.context import RunContext
from allotrope.graphs.prompt.injection import blanks, open_slots, request_of, told
from allotrope.graphs.prompt.packing import PackedPrompt, room_counter, room_of
from allotrope.memory.compression.shorten import middle_out
from allotrope.memory.context.fit import fit
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.support.fencing import Untrusted, Value, neutralised_message
from allotrope.support.providers import ProviderLine

if TYPE_CHECKING:
    from allotrope.graphs.parts import Parts
    from allotrope.models.profiles.profile import Profile
    from allotrope.prompts.context import Found, SlotUse
    from allotrope.prompts.template import PromptTemplateVersion

WORTH_PACKING = 64
"""Tokens below which no conversation is packed beside a step's own texts."""
VARIABLE_SHARE = 0.5
"""The weight of a text variable beside the slots' shares when a prompt must be shortened."""
SHORTEST = 24
"""Tokens that each text of a step keeps, however small the window."""

Repack = Callable[[list[BaseMessage], int], list[BaseMessage]]


def pack_step(
    state: Mapping[str, Any],
    values: Mapping[str, Value],
    *,
    parts: "Parts",
    template: "PromptTemplateVersion",
    profile: "Profile",
    context: RunContext,
    thread: str | None,
    conversation: bool,
    agent: str | None = None,
    found: "Found | None" = None,
) -> tuple[PackedPrompt, Repack]:
    """The prompt of a step for the first model of the chain, and the hook for the others.

    Args:
        state: The messages and the calibration of the thread.
        values: The template's.
        parts: Memory, chain and settings.
        template: The step's prompt.
        profile: Its style and context limit.
        context: Tenant and token limit of the run.
        thread: The thread, or None for a run that isn't kept.
        conversation: Whether the step sees what was said before.
        agent: The agent's name, for context providers.
        found: What providers gave for the slots that `values` leaves open; default: they are asked
            here, one after the other.
    """
    given = dict(values)
    if profile.style and "style" in template.meta.variables:
        given["style"] = Untrusted(profile.style)
    counter = room_counter(state, parts=parts, profile=profile)
    uses: list[SlotUse] = []
    if slots := open_slots(template, given):
        if found is None:
            request = request_of(
                context, parts=parts, agent=agent, thread=thread, messages=state.get("messages", ())
            )
            found = parts.injector.gather(slots, request)
        bare = counter.messages(template.render({**blanks(template), **given}))
        left = room_of(parts=parts, profile=profile, context=context, system=bare).tokens
        most = min(left, parts.settings.memory.context_tokens)
        injection = parts.injector.pack(template, found, budget_tokens=most, count=counter.text)
        given |= injection.values
        uses += injection.uses
    words = own_words(template, given, counter)
    room = room_of(parts=parts, profile=profile, context=context, system=words)
    budget = room.tokens + words
    rendered, shortened = render_within(template, given, budget=budget, counter=counter)
    own = counter.messages(rendered)
    said: list[BaseMessage] = []
    left = budget - own
    audit: dict[str, Any] = {"budget": max(0, left), "tokens": 0, "kinds": {}}
    if conversation and left >= WORTH_PACKING:
        said, audit = _said(state, left, counter, parts, context, thread)
    messages = joined(rendered, said, budget=budget, counter=counter)
    # memory counts the latest user turn, which stands in the template's texts
    turn = int(audit["kinds"].get("user", {}).get("tokens", 0))
    audit |= {
        "window": room.window,
        "prompt": {"system": words, "texts": max(0, own - words - turn), "tools": 0},
        "step": template.name,
        "shortened_texts": shortened,
    }
    if shown := told(uses):
        audit["slots"] = shown
    packed = PackedPrompt(
        messages=messages,
        audit=audit,
        counted=parts.memory.counter.messages(messages),
        window=room.window,
        tools=0,
    )
    other = parts.memory.counter.calibrated(ProviderLine.ratio)

    def repack(sent: list[BaseMessage], tokens: int) -> list[BaseMessage]:
        again, _ = render_within(template, given, budget=tokens, counter=other)
        return joined(again, said, budget=tokens, counter=other)

    return packed, repack


def _said(
    state: Mapping[str, Any],
    left: int,
    counter: TokenCounter,
    parts: "Parts",
    context: RunContext,
    thread: str | None,
) -> tuple[list[BaseMessage], dict[str, Any]]:
    """What was said before the latest user turn, packed by memory; the turn is in the template."""
    messages: Sequence[BaseMessage] = state["messages"]
    turn = counter.message(messages[-1]) if messages else 0
    memory = parts.memory
    nothing: dict[str, Any] = {"budget": left, "tokens": 0, "kinds": {}}
    if len(messages) < 2 and thread is None:
        return [], nothing
    try:
        if thread is None:
            budget = min(left + turn, parts.settings.memory.context_tokens)
            plain = fit(messages, budget=budget, counter=counter)
            packed, audit = plain.messages, dict(plain.audit)
        else:
            # the turn is archived when it is over: a step only reads
            pack = memory.fit(
                messages,
                budget=left + turn,
                thread=thread,
                tenant=context.tenant,
                pinned=memory.about(
                    context.user, tenant=context.tenant, thread=thread, messages=messages
                ),
                ratio=counter.ratio,
                read_only=True,
            )
            packed, audit = pack.messages, dict(pack.audit)
    except InputTooLongError:  # the turn fills the window; it stands in the template, shortened
        return [], nothing
    at = max((i for i, m in enumerate(packed) if isinstance(m, HumanMessage)), default=len(packed))
    return list(map(neutralised_message, packed[:at])), audit


def joined(
    rendered: Sequence[BaseMessage],
    said: Sequence[BaseMessage],
    *,
    budget: int,
    counter: TokenCounter,
) -> list[BaseMessage]:
    """The template's messages with the conversation between its system part and its question.

    Args:
        rendered: The template's messages.
        said: The conversation, without the latest user turn.
        budget: Tokens all may have.
        counter: Counts.

    Raises:
        InputTooLongError: Even the shortened template is too long for the window.
    """
    head = next((i for i, m in enumerate(rendered) if m.type != "system"), len(rendered))
    messages = [*rendered[:head], *said, *rendered[head:]]
    if counter.messages(messages) <= budget:
        return messages
    return fit(messages, budget=budget, counter=counter).messages


def render_within(
    template: "PromptTemplateVersion",
    values: Mapping[str, Value],
    *,
    budget: int,
    counter: TokenCounter,
) -> tuple[list[BaseMessage], list[str]]:
    """Renders a template; texts too long for the budget lose their middle, each by its share.

    Args:
        template: The prompt.
        values: Its values; lists and numbers stay as they are.
        budget: Tokens the messages may have.
        counter: Counts.

    Returns:
        The messages, and the names of the values that were shortened. They can still be over the
        budget where the template's own words are; `joined` deals with that.
    """
    rendered = template.render(values)
    total = counter.messages(rendered)
    if total <= budget:
        return rendered, []
    texts = _texts(values)
    sizes = {name: counter.text(text) for name, text in texts.items()}
    slots = template.meta.context
    weights = {n: slots[n].share if n in slots else VARIABLE_SHARE for n in texts}
    room = budget - (total - sum(sizes.values()))
    shortened: dict[str, Untrusted] = {}
    for _ in range(4):  # a fence costs a little more or less around a shorter text
        limits = shares(sizes, weights, room=max(room, 0))
        shortened = {
            name: Untrusted(_shorter(text, max(limits[name], SHORTEST), counter))
            for name, text in texts.items()
            if limits[name] < sizes[name]
        }
        rendered = template.render({**values, **shortened})
        over = counter.messages(rendered) - budget
        if over <= 0:
            break
        room -= over
    return rendered, sorted(shortened)


def own_words(
    template: "PromptTemplateVersion", values: Mapping[str, Value], counter: TokenCounter
) -> int:
    """Tokens of a rendered template without the texts that are put in.

    Args:
        template: The prompt.
        values: Its values.
        counter: Counts.
    """
    inside = sum(counter.text(text) for text in _texts(values).values())
    return max(0, counter.messages(template.render(values)) - inside)


def _texts(values: Mapping[str, Value]) -> dict[str, str]:
    texts = {n: v.text if isinstance(v, Untrusted) else v for n, v in values.items()}
    return {name: v for name, v in texts.items() if isinstance(v, str) and v.strip()}


def _shorter(text: str, tokens: int, counter: TokenCounter) -> str:
    """A text in so many tokens; where not even the notice fits, its beginning."""
    short = middle_out(text, tokens=tokens, counter=counter)
    if short is not None:
        return short
    beginning = text
    while counter.text(beginning) > tokens:
        beginning = beginning[: len(beginning) * 2 // 3]
    return beginning or text[:1]


def shares(sizes: Mapping[str, int], weights: Mapping[str, float], *, room: int) -> dict[str, int]:
    """Shares out tokens by weight; who needs less than a share leaves the rest to the others.

    Args:
        sizes: Tokens each would take.
        weights: Of each.
        room: Tokens there are.
    """
    limits: dict[str, int] = {}
    open_names = sorted(sizes, key=lambda name: sizes[name] / weights[name])
    left = room
    for at, name in enumerate(open_names):
        weight = sum(weights[other] for other in open_names[at:])
        limits[name] = min(sizes[name], int(left * weights[name] / weight))
        left -= limits[name]
    return limits
