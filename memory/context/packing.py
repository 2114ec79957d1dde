"""Filling a budget by priority, then value, then recency. Pure arithmetic, no messages."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PackItem:
    """Something that wants room.

    Args:
        key: Its name in the result.
        tokens: What it costs.
        priority: Lower goes first.
        value: Among equals in priority, higher goes first.
        at: Position in the conversation; among equals in value, later goes first.
        required: Must be in, else packing fails.
    """

    key: int
    tokens: int
    priority: int
    value: float = 0.0
    at: int = 0
    required: bool = False


@dataclass(frozen=True)
class Packed:
    """What is in and what isn't.

    Args:
        kept: Keys that are in, in the order of the conversation.
        left_out: Keys that are not, with the tokens that were left when their turn came.
        tokens: What the kept ones cost together.
    """

    kept: tuple[int, ...]
    left_out: tuple[tuple[int, int], ...]
    tokens: int


def pack(
    items: Sequence[PackItem], *, budget: int, unbroken: frozenset[int] = frozenset()
) -> Packed | None:
    """Fills the budget greedily.

    Args:
        items: What wants room.
        budget: Tokens to fill.
        unbroken: Priorities that stop at the first item that doesn't fit, so that what is kept of
            them has no gaps (recent turns).

    Returns:
        The packing, or None when the required items alone are too large.
    """
    kept: list[PackItem] = [item for item in items if item.required]
    left = budget - sum(item.tokens for item in kept)
    if left < 0:
        return None
    left_out: list[tuple[int, int]] = []
    closed: set[int] = set()
    optional = [item for item in items if not item.required]
    for item in sorted(optional, key=lambda item: (item.priority, -item.value, -item.at)):
        if item.tokens <= left and item.priority not in closed:
            kept.append(item)
            left -= item.tokens
        else:
            left_out.append((item.key, left))
            if item.priority in unbroken:
                closed.add(item.priority)
    kept.sort(key=lambda item: item.at)
    return Packed(tuple(item.key for item in kept), tuple(left_out), budget - left)
