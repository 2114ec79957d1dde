"""The context meter: what fills a window, from the audit of a turn, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ORDER = (
    "system",
    "tools",
    "texts",
    "summary",
    "recalled",
    "memory_frame",
    "old_tool",
    "recent",
    "open",
    "user",
)


@dataclass(frozen=True)
class Share:
    """One kind of what fills the window.

    Args:
        kind: What it is.
        tokens: What it costs.
        messages: How many there are.
    """

    kind: str
    tokens: int
    messages: int


@dataclass(frozen=True)
class Meter:
    """What fills a window.

    Args:
        shares: By kind, in the order of the prompt.
        used: Tokens of the prompt.
        room: Tokens the prompt could have had.
    """

    shares: tuple[Share, ...]
    used: int
    room: int

    @property
    def free(self) -> int:
        """Tokens that are left."""
        return max(0, self.room - self.used)


def meter_of(audit: Mapping[str, Any]) -> Meter:
    """The meter of a turn.

    Args:
        audit: As the state has it (docs/contracts.md, Memory).
    """
    kinds: dict[str, Share] = {}
    for kind, cost in audit.get("kinds", {}).items():
        kinds[kind] = Share(kind, int(cost["tokens"]), int(cost["messages"]))
    for kind, tokens in (audit.get("prompt") or {}).items():
        if tokens:
            known = kinds.get(kind, Share(kind, 0, 0))
            kinds[kind] = Share(kind, known.tokens + int(tokens), known.messages + 1)
    around = sum(int(tokens) for tokens in (audit.get("prompt") or {}).values())
    order = {kind: place for place, kind in enumerate(_ORDER)}
    return Meter(
        shares=tuple(sorted(kinds.values(), key=lambda s: order.get(s.kind, len(order)))),
        used=int(audit.get("tokens", 0)) + around,
        room=int(audit.get("budget", 0)) + around,
    )
