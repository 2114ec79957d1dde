"""Making a prompt fit: pure, no archive; what a graph calls, and again for a smaller model."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage

from allotrope.exceptions import InputTooLongError
from allotrope.memory.compression.shorten import shorten
from allotrope.memory.context.block import MemoryMessage
from allotrope.memory.context.pieces import Dropped, Kind, Piece, cut
from allotrope.memory.tokens.counting import TokenCounter

_REQUIRED = (Kind.SYSTEM, Kind.USER)
_BY_PRIORITY = (
    (Kind.OPEN,),
    (Kind.PINNED,),
    (Kind.RECALLED,),
    (Kind.RECENT, Kind.OLD_TOOL),  # old tool groups stand among the turns they belong to
)
"""What has room first; of each, the newest."""
_SMALLEST_USER_TURN = 48
_SMALLEST_OPEN_RESULT = 32
AUDIT_ROWS = 40
"""The audit lies in the state of each turn: it names at most so many left-out messages."""


@dataclass(frozen=True)
class FitResult:
    """A prompt that fits, and why it looks so.

    Args:
        messages: What to send, in order.
        audit: Plain types only: `budget`, `tokens`, `kinds` (kind → `{"messages", "tokens"}`),
            `left_out` (rows `{"id", "kind", "tokens", "why"}`, at most 40), `left_out_messages`
            (their number), `shortened` (ids of messages whose middle was left out).
    """

    messages: list[BaseMessage]
    audit: dict[str, Any] = field(default_factory=dict)


def fit(
    messages: Sequence[BaseMessage], *, budget: int, counter: TokenCounter | None = None
) -> FitResult:
    """Keeps what fits: system, latest user turn, the run in progress, then the newest pieces.

    Args:
        messages: The conversation, system message first.
        budget: Tokens the prompt may have, without tool schemas and reserves for the answer.
        counter: Counts; default: o200k_base.

    Returns:
        A prompt within the budget, without orphan tool messages, with the latest user turn.

    Raises:
        InputTooLongError: System message and latest user turn can't fit, even shortened.
    """
    counter = counter or TokenCounter()
    pieces, dropped = cut(messages)
    room = budget - counter.priming()
    pieces, shortened = shorten_current_turn(pieces, room, counter)
    pieces = _shorten_memory(pieces, room, counter, shortened)
    kept = [piece for piece in pieces if piece.kind in _REQUIRED]
    left = room - sum(cost_of(piece, counter) for piece in kept)
    if left < 0:
        raise too_long(needed=budget - left, budget=budget)
    for kinds in _BY_PRIORITY:
        left = newest([piece for piece in pieces if piece.kind in kinds], left, counter, kept)
    kept.sort(key=lambda piece: piece.at)
    here = {piece.at for piece in kept}
    out = [(piece, f"only {left} tokens were left") for piece in pieces if piece.at not in here]
    return FitResult(
        messages=[message for piece in kept for message in piece.messages],
        audit=audit(
            kept,
            out,
            dropped,
            budget=budget,
            tokens=budget - left,
            counter=counter,
            shortened=shortened,
        ),
    )


def cost_of(piece: Piece, counter: TokenCounter) -> int:
    """Tokens of a piece."""
    return sum(counter.message(message) for message in piece.messages)


def newest(pieces: Sequence[Piece], left: int, counter: TokenCounter, into: list[Piece]) -> int:
    """Takes pieces from the newest back until one doesn't fit, so that there is no gap.

    Args:
        pieces: In the order of the conversation.
        left: Tokens that they may have together.
        counter: Counts.
        into: Gets those that fit.

    Returns:
        The tokens that are left.
    """
    for piece in reversed(pieces):
        cost = cost_of(piece, counter)
        if cost > left:
            break
        into.append(piece)
        left -= cost
    return left


def too_long(*, needed: int, budget: int) -> InputTooLongError:
    """The refusal when what must be in can't be."""
    return InputTooLongError(
        f"System prompt and your message need {needed} tokens, but there is room for {budget}.",
        hint="Shorten the message, raise `budget_tokens` where it is set, or use a model with a"
        " larger window.",
    )


def shorten_current_turn(
    pieces: list[Piece], room: int, counter: TokenCounter
) -> tuple[list[Piece], list[str]]:
    """The latest user turn and the open run are shortened when they alone are too large."""
    fixed = sum(cost_of(piece, counter) for piece in pieces if piece.kind is Kind.SYSTEM)
    user = sum(cost_of(piece, counter) for piece in pieces if piece.kind is Kind.USER)
    run = sum(cost_of(piece, counter) for piece in pieces if piece.kind is Kind.OPEN)
    if fixed + user + run <= room:
        return pieces, []
    shortened: list[str] = []
    share = room - fixed
    result: list[Piece] = []
    for piece in pieces:
        if piece.kind is Kind.USER and user > share - min(run, share // 2):
            target = max(share - min(run, share // 2), min(share, _SMALLEST_USER_TURN))
            piece = _shortened(piece, target, counter, shortened)
            user = cost_of(piece, counter)
        result.append(piece)
    left = share - user
    open_pieces = [piece for piece in result if piece.kind is Kind.OPEN]
    if run > left and open_pieces:
        each = max(_SMALLEST_OPEN_RESULT, left // len(open_pieces))
        result = [
            _shortened(piece, each, counter, shortened) if piece.kind is Kind.OPEN else piece
            for piece in result
        ]
    return result, shortened


def _shorten_memory(
    pieces: list[Piece], room: int, counter: TokenCounter, noted: list[str]
) -> list[Piece]:
    """A memory message made for a larger window takes at most half of what is left in this one.

    Its least relevant lines go first; what isn't made of lines loses its middle.
    """
    left = room - sum(cost_of(piece, counter) for piece in pieces if piece.kind in _REQUIRED)
    most = max(0, left // 2)
    result: list[Piece] = []
    for piece in pieces:
        if piece.kind is Kind.RECALLED and cost_of(piece, counter) > most:
            [message] = piece.messages
            fewer = None
            if isinstance(message, MemoryMessage):
                fewer = message.shrunk(lambda smaller: counter.message(smaller) <= most)
            if fewer is not None:
                noted.append(str(message.id))
                piece = Piece(piece.kind, (fewer,), piece.at)
            else:
                piece = _shortened(piece, most, counter, noted)
        result.append(piece)
    return result


def _shortened(piece: Piece, tokens: int, counter: TokenCounter, noted: list[str]) -> Piece:
    """The piece with its results (or its only message) shortened to the tokens, if possible."""
    if cost_of(piece, counter) <= tokens:
        return piece
    head, *results = piece.messages
    if not results:
        shorter = shorten(head, tokens=tokens, counter=counter)
        if shorter is None:
            return piece
        noted.append(str(head.id))
        return Piece(piece.kind, (shorter,), piece.at)
    each = max(_SMALLEST_OPEN_RESULT, (tokens - counter.message(head)) // len(results))
    copies: list[BaseMessage] = []
    for result in results:
        copy = shorten(result, tokens=each, counter=counter)
        if copy is not None and copy is not result:
            noted.append(str(result.id))
        copies.append(copy or result)
    return Piece(piece.kind, (head, *copies), piece.at)


def audit(
    kept: Sequence[Piece],
    left_out: Sequence[tuple[Piece, str]],
    dropped: Sequence[Dropped],
    *,
    budget: int,
    tokens: int,
    counter: TokenCounter,
    shortened: Sequence[str] = (),
) -> dict[str, Any]:
    """What is in, what isn't, and why, in plain types (see `FitResult`)."""
    count: Counter[str] = Counter()
    cost: Counter[str] = Counter()
    for piece in kept:
        count[piece.kind] += len(piece.messages)
        cost[piece.kind] += cost_of(piece, counter)
    rows: list[dict[str, Any]] = [
        {"id": message.id, "kind": str(piece.kind), "tokens": counter.message(message), "why": why}
        for piece, why in left_out[:AUDIT_ROWS]
        for message in piece.messages
    ]
    rows += [
        {
            "id": item.message.id,
            "kind": "broken",
            "tokens": counter.message(item.message),
            "why": item.reason,
        }
        for item in dropped[:AUDIT_ROWS]
    ]
    return {
        "budget": budget,
        "tokens": tokens,
        "kinds": {str(kind): {"messages": count[kind], "tokens": cost[kind]} for kind in count},
        "left_out": rows[:AUDIT_ROWS],
        "left_out_messages": sum(len(piece.messages) for piece, _ in left_out) + len(dropped),
        "shortened": list(shortened),
    }
