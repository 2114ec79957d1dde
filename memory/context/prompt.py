"""Putting a prompt together from live messages and what is remembered. Pure: no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage

from allotrope.memory.compression.compression import compress_tool_output
from allotrope.memory.compression.tidying import tidied
from allotrope.memory.context.block import (
    Chosen,
    MemoryMessage,
    SlotRoom,
    build,
    choose,
    kinds,
    lines_of,
)
from allotrope.memory.context.fit import (
    AUDIT_ROWS,
    audit,
    cost_of,
    newest,
    shorten_current_turn,
    too_long,
)
from allotrope.memory.context.pieces import Kind, Piece, cut
from allotrope.memory.recall.recall import Recalled
from allotrope.memory.recall.words import words
from allotrope.memory.summary.summary import Summary
from allotrope.memory.summary.summary import render as render_summary
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.settings.memory import MemorySettings

_ALWAYS_RECENT = 2
_RECENT_SHARE = 0.15
_SUMMARY_SHARE = 0.10
_SUMMARY_SHARE_WHEN_SURE = 0.05
_UNSURE_SHARE = 0.75
_LONGEST_SHARE = 0.25
_SHORTEST_LONG = 48
_HEADED = 16
"""Tokens that a long recalled message may have in the smallest prompt, and of a day's heading."""


@dataclass(frozen=True)
class Remembered:
    """What memory knows beside the live messages.

    Args:
        pinned: Lines that must be in.
        summary: The running summary.
        found: Archived messages that bear on the question, best first.
        handles: Numbers in the archive of live tool results, by message id.
        question: The latest user turn as recall saw it.
        archived: Messages of the thread in the archive.
        thread_tokens: What all of them would cost together.
    """

    pinned: tuple[str, ...] = ()
    summary: Summary | None = None
    found: tuple[Recalled, ...] = ()
    handles: Mapping[str, int] = field(default_factory=dict)
    question: str = ""
    archived: int = 0
    thread_tokens: int = 0


def assemble(
    history: Sequence[BaseMessage],
    remembered: Remembered,
    *,
    budget: int,
    counter: TokenCounter,
    settings: MemorySettings,
    slots: Mapping[str, SlotRoom] | None = None,
) -> tuple[list[BaseMessage], dict[str, Any]]:
    """Fills the budget: what must be in, the last exchange, summary, recalled, more recent turns.

    Args:
        history: The live messages.
        remembered: What memory knows beside them.
        budget: Tokens of the whole.
        counter: Counts.
        settings: The sizes.
        slots: What a template's slots `summary` and `recalled` may hold, where it has them.

    Returns:
        The prompt and its audit.

    Raises:
        InputTooLongError: What must be in doesn't fit.
    """
    pieces, dropped = cut(history)
    room = budget - counter.priming()
    pieces, shortened = shorten_current_turn(pieces, room, counter)
    required = [p for p in pieces if p.kind in (Kind.SYSTEM, Kind.USER)]
    left = room - sum(cost_of(piece, counter) for piece in required)
    if left < 0:
        raise too_long(needed=budget - left, budget=budget)
    kept = list(required)
    open_run = [piece for piece in pieces if piece.kind is Kind.OPEN]
    left = newest(open_run, left, counter, kept)
    # the current turn is archived too, and always its own best match
    now = {str(message.id) for piece in kept for message in piece.messages}
    remembered = replace(
        remembered,
        found=tuple(item for item in remembered.found if item.message.message_id not in now),
    )
    past = [p for p in pieces if p.kind in (Kind.RECENT, Kind.OLD_TOOL, Kind.PINNED)]
    if settings.compress:
        # by need: a changed message would cost the provider's prompt cache all that follows it
        if sum(cost_of(piece, counter) for piece in past) > left:
            surely = [message for piece in kept for message in piece.messages]
            past = tidied(past, surely, counter)
        past = [_compressed(piece, remembered.handles, counter) for piece in past]

    recent = _last_exchange(past, int(left * _RECENT_SHARE), counter)
    spent = sum(cost_of(piece, counter) for piece in recent)
    block, notes, chosen = _block(
        remembered, recent, left=left - spent, whole=left, counter=counter, settings=settings,
        slots=slots or {},
    )  # fmt: skip
    block_tokens = counter.message(block) if block is not None else 0
    left -= spent + block_tokens
    older = past[: len(past) - len(recent)]
    more: list[Piece] = []
    left = newest(older, left, counter, more)
    if more and chosen:
        block, chosen, won = _without(block, chosen, more, notes, counter)
        left += won
        left = newest(older[: len(older) - len(more)], left, counter, more)
    kept += [*recent, *more]
    kept.sort(key=lambda piece: piece.at)
    here = {piece.at for piece in kept}
    out = [(piece, f"only {left} tokens were left") for piece in pieces if piece.at not in here]
    messages = [message for piece in kept for message in piece.messages]
    if block is not None:
        first = next((i for i, m in enumerate(messages) if m.type != "system"), len(messages))
        messages.insert(first, block)
    total = counter.messages(messages)
    report = audit(
        kept, out, dropped, budget=budget, tokens=total, counter=counter, shortened=shortened
    )
    if block is not None:
        parts = dict(kinds(notes, chosen, counter))
        parts["memory_frame"] = max(0, counter.message(block) - sum(parts.values()))
        for kind, tokens in parts.items():
            if tokens:
                number = len(chosen) if kind == "recalled" else 1
                report["kinds"][kind] = {"messages": number, "tokens": tokens}
    report["recalled"] = [
        {
            "row": item.recalled.message.row,
            "score": round(item.recalled.score, 3),
            "tokens": item.tokens,
        }
        for item in chosen[:AUDIT_ROWS]
    ]
    report["recalled_messages"] = len(chosen)
    report["archived"] = remembered.archived
    report["thread_tokens"] = remembered.thread_tokens
    if remembered.summary is not None:
        report["summary"] = {
            "lines": len(remembered.summary.lines),
            "upto": remembered.summary.upto,
            "source": remembered.summary.source,
        }
    return messages, report


def _last_exchange(past: Sequence[Piece], most: int, counter: TokenCounter) -> list[Piece]:
    """The last exchange before the latest user turn, as far as it is short."""
    chosen: list[Piece] = []
    newest(past[-_ALWAYS_RECENT:], most, counter, chosen)
    return list(reversed(chosen))


def _compressed(piece: Piece, handles: Mapping[str, int], counter: TokenCounter) -> Piece:
    if piece.kind is not Kind.OLD_TOOL:
        return piece
    copies: list[BaseMessage] = []
    for message in piece.messages:
        if isinstance(message, ToolMessage) and isinstance(message.content, str):
            short = compress_tool_output(
                message.content, handle=handles.get(str(message.id)), counter=counter
            )
            message = message.model_copy(update={"content": short})
        copies.append(message)
    return Piece(piece.kind, tuple(copies), piece.at)


def _block(
    remembered: Remembered,
    recent: Sequence[Piece],
    *,
    left: int,
    whole: int,
    counter: TokenCounter,
    settings: MemorySettings,
    slots: Mapping[str, SlotRoom],
) -> tuple[MemoryMessage | None, str, list[Chosen]]:
    """The memory message within `left` tokens, its notes (pinned and summary) and its lines."""
    frame = counter.message(build("x", ()) or ToolMessage("", tool_call_id=""))
    frame = max(frame, sum(slot.cost("-") for slot in slots.values()))
    sure = _sure(remembered)
    # a question that finds its own messages needs the summary less
    part = int(whole * (_SUMMARY_SHARE_WHEN_SURE if sure else _SUMMARY_SHARE))
    notes = _fitting_notes(
        remembered, max(0, left - frame), part, counter, settings, slots.get("summary")
    )
    room = left - frame - (counter.text(notes) if notes else 0)
    share = 1.0 if sure else _UNSURE_SHARE
    shown = _whole(recent, remembered.found)
    found = [item for item in remembered.found if item.message.message_id not in shown]
    room = min(int(room * share), settings.recall_tokens)
    slot = slots.get("recalled")
    if slot is not None:
        room = min(room, slot.limit - slot.cost("-"))
    chosen = choose(
        found,
        tokens=room,
        counter=counter,
        question=remembered.question,
        longest=max(min(_SHORTEST_LONG, room - _HEADED), int(room * _LONGEST_SHARE)),
    )
    # tokens of lines don't quite add up to the tokens of the whole: the worst goes until they do
    while slot is not None and chosen and slot.cost(lines_of(chosen)) > slot.limit:
        chosen = chosen[:-1]
    block = build(notes, chosen)
    while block is not None and counter.message(block) > left:
        if chosen:
            chosen = chosen[:-1]
        elif notes:
            notes = ""
        else:
            return None, "", []
        block = build(notes, chosen)
    return block, notes, chosen


def _whole(pieces: Sequence[Piece], found: Sequence[Recalled]) -> set[str]:
    """Ids of messages that stand whole among the pieces: a compressed output says too little."""
    texts = {item.message.message_id: item.message.text for item in found}
    return {
        str(message.id)
        for piece in pieces
        for message in piece.messages
        if not isinstance(message, ToolMessage)
        or message.content == texts.get(str(message.id), message.content)
    }


def _fitting_notes(
    remembered: Remembered,
    left: int,
    part: int,
    counter: TokenCounter,
    settings: MemorySettings,
    slot: SlotRoom | None,
) -> str:
    """Pinned lines and summary, whole lines only, within what the prompt and their slot have."""
    if slot is None:
        return _notes(remembered, left, part, counter, settings)
    left = min(left, slot.limit - slot.cost("-"))
    notes = ""
    while left > 0:
        notes = _notes(remembered, left, part, counter, settings)
        over = slot.cost(notes) - slot.limit
        if over <= 0:
            return notes
        left -= over
    return ""


def _notes(
    remembered: Remembered, left: int, part: int, counter: TokenCounter, settings: MemorySettings
) -> str:
    parts: list[str] = []
    used = 0
    for line in remembered.pinned:
        cost = counter.text(f"- {line}\n")
        if used + cost <= left // 2:
            parts.append(f"- {line}")
            used += cost
    pinned = "Pinned:\n" + "\n".join(parts) if parts else ""
    summary = ""
    if remembered.summary is not None and settings.summary_tokens:
        most = min(settings.summary_tokens, part, left - used)
        summary = render_summary(remembered.summary, tokens=max(0, most), counter=counter)
    return "\n".join(part for part in (pinned, summary) if part)


def _sure(remembered: Remembered) -> bool:
    """Whether the question stands on its own: its words are found together in the archive."""
    asked = set(words(remembered.question))
    needed = min(2, len(asked))
    return needed > 0 and any(
        len(asked & set(item.message.words)) >= needed for item in remembered.found[:8]
    )


def _without(
    block: MemoryMessage | None,
    chosen: list[Chosen],
    pieces: Sequence[Piece],
    notes: str,
    counter: TokenCounter,
) -> tuple[MemoryMessage | None, list[Chosen], int]:
    """The memory message without what now stands among the recent turns, and the tokens won."""
    shown = _whole(pieces, [item.recalled for item in chosen])
    rest = [item for item in chosen if item.recalled.message.message_id not in shown]
    if len(rest) == len(chosen) or block is None:
        return block, chosen, 0
    smaller = build(notes, rest)
    before, after = counter.message(block), counter.message(smaller) if smaller else 0
    if after > before:
        return block, chosen, 0
    return smaller, rest, before - after
