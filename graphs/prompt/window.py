"""Which part of a model's window a conversation may take, for the model that really answers."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from langchain_core.messages import BaseMessage

from allotrope.exceptions import AllotropeError
from allotrope.memory.context.budget import ContextBudget, context_budget
from allotrope.memory.context.fit import fit
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.models.call.window import divided, window_of
from allotrope.stores.errors import error_name
from allotrope.support.providers import ProviderLine

if TYPE_CHECKING:
    from allotrope.models.call.guarded import GuardedChatModel
    from allotrope.settings import Settings

logger = logging.getLogger(__name__)

UNKNOWN_WINDOW = 8_192
"""Tokens assumed for a model whose window nobody tells."""


def budget_of(
    model: "GuardedChatModel",
    settings: "Settings",
    *,
    tools: int = 0,
    system: int = 0,
    cap: int | None = None,
) -> ContextBudget:
    """What conversation may take of a model's window.

    Args:
        model: One of the chain.
        settings: The margin.
        tools: Tokens of the tool schemas.
        system: Tokens of the rendered prompt without the conversation.
        cap: Most tokens of conversation, where the run or profile sets one.

    Raises:
        InputError: The cap is too small for any conversation.
        SettingsError: There is no room; the message shows the sum.
    """
    window = window_of(model) or divided(UNKNOWN_WINDOW)
    return context_budget(
        window=window.tokens,
        output=window.output,
        reasoning=window.reasoning,
        tools=tools,
        system=system,
        margin=settings.memory.margin,
        cap=cap,
    )


def told_ratio(
    model: object, messages: Sequence[BaseMessage], counter: TokenCounter
) -> float | None:
    """How a model's own count of these messages compares to ours; None where it tells none.

    Args:
        model: The first of the chain; the embedded one has `count_prompt`.
        messages: The live ones of the thread.
        counter: Ours, without calibration.
    """
    count = getattr(model, "count_prompt", None)
    if count is None:
        return None
    texts = [
        type(message)(content=message.text)
        for message in messages
        if message.type in ("human", "ai", "system") and message.text
    ]
    if not texts:
        return None
    try:
        told = count(texts)
    except (AllotropeError, OSError, KeyError, ValueError) as exc:
        logger.info("the model told no count: %s", error_name(exc))
        return None
    return min(4.0, max(0.5, float(told) / counter.messages(texts)))


def repack_with(
    counter: TokenCounter, *, tools: int
) -> Callable[[list[BaseMessage], int], list[BaseMessage]]:
    """The hook with which a model that takes over packs a prompt for its own window.

    It goes into a call's `configurable` under `contracts.Configurable.REPACK`.

    Args:
        counter: Counts.
        tools: Tokens of the tool schemas, which the window must hold too.
    """
    counter = counter.calibrated(ProviderLine.ratio)

    def repack(messages: list[BaseMessage], budget: int) -> list[BaseMessage]:
        return fit(messages, budget=max(1, budget - tools), counter=counter).messages

    return repack
