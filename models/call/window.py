"""How much of a model's window is for the prompt and how much for its answer: one sum for all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_OUTPUT = 4_096
REASONING = 8_192
"""Tokens kept for the answer, and for the thinking of models that do, where no profile says."""


@dataclass(frozen=True)
class ModelWindow:
    """A model's window, in tokens; prompt, thinking and answer share it.

    Attributes:
        tokens: All of it.
        output: Kept for the visible answer.
        reasoning: Kept for thinking.
    """

    tokens: int
    output: int
    reasoning: int = 0

    @property
    def prompt(self) -> int:
        """What a prompt may have, tool schemas included."""
        return self.tokens - self.output - self.reasoning


def divided(tokens: int, *, asked: Any = None, thinks: bool = False) -> ModelWindow:
    """A window with its reserves.

    Args:
        tokens: All of it.
        asked: The longest answer that is asked for, where one is; at most half of the window is
            kept for it.
        thinks: Whether the model thinks before it answers. A large window has room for that
            apart; in a small one it is part of the answer's.
    """
    wanted = isinstance(asked, int) and asked > 0
    output = min(asked, tokens // 2) if wanted else min(DEFAULT_OUTPUT, tokens // 4)
    apart = thinks and tokens >= 4 * (REASONING + output)
    return ModelWindow(tokens, output, REASONING if apart else 0)


def window_of(model: Any) -> ModelWindow | None:
    """A model's window; None where nobody tells how large it is.

    Args:
        model: One with a LangChain `profile`, and `max_tokens` or `num_predict` where an answer
            is limited.
    """
    profile: Mapping[str, Any] = getattr(model, "profile", None) or {}
    tokens = profile.get("max_input_tokens")
    if not tokens:
        return None
    asked = getattr(model, "max_tokens", None) or getattr(model, "num_predict", None)
    return divided(int(tokens), asked=asked, thinks=bool(profile.get("reasoning_output")))
