"""What conversation may take of a model's window."""

import math
from dataclasses import dataclass

from allotrope.exceptions import InputError, SettingsError

SMALLEST = 128
"""Below this many tokens no conversation is possible."""


@dataclass(frozen=True)
class ContextBudget:
    """The parts of a window, all in tokens.

    Args:
        window: The model's context window (its profile, `num_ctx`, or the setting).
        output: Reserved for the visible answer.
        reasoning: Reserved for thinking: the o-series thinks inside the output budget.
        tools: What the tool schemas cost.
        system: What the system prompt costs, where it isn't among the messages to fit.
        margin: Kept free for errors of counting.
        cap: Most tokens of conversation, whatever the window has.
    """

    window: int
    output: int
    reasoning: int = 0
    tools: int = 0
    system: int = 0
    margin: int = 0
    cap: int | None = None

    @property
    def conversation(self) -> int:
        """Tokens left for the messages."""
        left = self.window - self.output - self.reasoning - self.tools - self.system - self.margin
        return left if self.cap is None else min(left, self.cap)

    def sum(self) -> str:
        """The subtraction, for people."""
        return (
            f"{self.window} window - {self.output} output - {self.reasoning} reasoning"
            f" - {self.tools} tools - {self.system} system prompt - {self.margin} margin"
            f" = {self.conversation}"
        )


def context_budget(
    *,
    window: int,
    output: int,
    reasoning: int = 0,
    tools: int = 0,
    system: int = 0,
    margin: float = 0.02,
    cap: int | None = None,
) -> ContextBudget:
    """The budget of a model, refused when no conversation would fit.

    Args:
        window: Context window in tokens.
        output: Longest visible answer in tokens.
        reasoning: Tokens for thinking on top of the answer.
        tools: Tokens of the tool schemas.
        system: Tokens of the system prompt, where it isn't among the messages.
        margin: Share of the window kept free, 0.02 is 2 %.
        cap: Most tokens of conversation.

    Raises:
        InputError: The cap is below 128 tokens.
        SettingsError: Less than 128 tokens are left; the message shows the sum.
    """
    if cap is not None and cap < SMALLEST:
        raise InputError(
            f"A conversation can't do with {cap} tokens; {SMALLEST} is the least.",
            hint="Raise `budget_tokens` of the run, or `max_context_tokens` of the profile.",
        )
    budget = ContextBudget(
        window=window,
        output=output,
        reasoning=reasoning,
        tools=tools,
        system=system,
        margin=math.ceil(window * margin),
        cap=cap,
    )
    if budget.conversation < SMALLEST:
        raise SettingsError(
            f"No room for a conversation: {budget.sum()} tokens.",
            hint="Lower the output or reasoning reserve, bind fewer tools, or use a larger window.",
        )
    return budget
