"""Counting tokens as the provider does: text exactly, messages and tools by its own overheads."""

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from allotrope.memory.tokens.images import part_tokens
from allotrope.memory.tokens.tool_schemas import (
    SHARED_WITH_SYSTEM_TOKENS,
    WRAPPER_TOKENS,
    declarations,
)
from allotrope.stores.vocabulary import token_ids

MESSAGE_TOKENS = 3
ROLE_TOKENS = 1
NAME_TOKENS = 1
PRIMING_TOKENS = 3
"""Overheads of chat completions, from OpenAI's cookbook "How to count tokens with tiktoken"."""
CALL_TOKENS = 7
RESULT_TOKENS = 6
PARALLEL_CALL_TOKENS = 9
"""Overheads of tool calls and results, fitted to recorded `prompt_tokens` (exact on all of them,
see tests/memory/recorded_usage.json): a name is counted with the call and again with its result."""

_KEEP = 8192
"""Texts whose count is remembered; a count is two numbers, whatever the text's length."""


def exact(text: str) -> int:
    """Tokens of a text in o200k_base; special tokens in it are counted as plain text."""
    return len(token_ids(text))


@dataclass(frozen=True)
class Calibration:
    """How far the counts of a thread are from what its provider reports.

    Args:
        ratio: Reported tokens divided by counted tokens, smoothed.
        samples: Reports seen.
    """

    ratio: float = 1.0
    samples: int = 0

    def updated(self, *, counted: int, reported: int) -> "Calibration":
        """With one more report; nonsense changes nothing.

        Nothing counted or reported is nonsense, and so is less than half of what was counted: an
        Ollama that reuses its cache may report as `prompt_eval_count` only what it read anew.
        """
        if counted <= 0 or reported < 0.5 * counted:
            return self
        seen = min(4.0, reported / counted)
        weight = 1.0 if self.samples == 0 else 0.3
        return Calibration(self.ratio + weight * (seen - self.ratio), self.samples + 1)


UNCOUNTED = frozenset({"tool_use", "function_call", "tool_call", "reasoning"})
"""Blocks that cost nothing here: calls are counted by their arguments, and the sealed reasoning of
an earlier reply is no part of the next prompt (developers.openai.com/api/docs/guides/reasoning)."""


class TokenCounter:
    """Counts text, messages and tools; remembers what it counted.

    Args:
        count_text: Tokens of a text; default: exact o200k_base. Hand in the server's own count for
            Ollama or the embedded model, where it tells one.
        model: The model's name, for images and the priming of the reply.
        ratio: Multiplies every result: the calibration of the thread (see `Calibration`).
    """

    def __init__(
        self,
        *,
        count_text: Callable[[str], int] = exact,
        model: str = "o3",
        ratio: float = 1.0,
    ) -> None:
        self._count_text = count_text
        self.model = model
        self.ratio = ratio
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def calibrated(self, ratio: float) -> "TokenCounter":
        """The same counter with another ratio; what was counted stays remembered."""
        other = TokenCounter(count_text=self._count_text, model=self.model, ratio=ratio)
        other._counts, other._lock = self._counts, self._lock
        return other

    def text(self, text: str) -> int:
        """Tokens of a text on its own, without the overhead of a message."""
        return math.ceil(self._raw(text) * self.ratio)

    def message(self, message: BaseMessage) -> int:
        """Tokens of one message with its overhead."""
        return math.ceil(self._message(message) * self.ratio)

    def messages(self, messages: Iterable[BaseMessage]) -> int:
        """Tokens of a prompt: its messages, rounded up one by one, and the start of the reply."""
        return sum(self.message(message) for message in messages) + self.priming()

    def priming(self) -> int:
        """Tokens that start the reply, once per prompt."""
        return math.ceil(PRIMING_TOKENS * self.ratio)

    def tools(self, tools: Sequence[Mapping[str, Any]], *, with_system: bool = True) -> int:
        """Tokens of tool schemas, in OpenAI's form.

        Args:
            tools: `{"type": "function", "function": {…}}`, as `convert_to_openai_tool` gives them.
            with_system: Whether the prompt has a system message, which they then share.
        """
        if not tools:
            return 0
        wrapper = WRAPPER_TOKENS - (SHARED_WITH_SYSTEM_TOKENS if with_system else 0)
        return math.ceil((self._raw(declarations(tools)) + wrapper) * self.ratio)

    def _message(self, message: BaseMessage) -> int:
        content = self._content(message)
        if isinstance(message, ToolMessage):
            return RESULT_TOKENS + content + self._raw(message.name or "")
        tokens = 0
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        if content or not calls:
            tokens += MESSAGE_TOKENS + ROLE_TOKENS + content
        if message.name and not calls:
            tokens += NAME_TOKENS + self._raw(message.name)
        for call in calls:
            arguments = json.dumps(call["args"], separators=(",", ":"), ensure_ascii=False)
            # the name comes back with the result; a ToolMessage often doesn't carry it
            tokens += CALL_TOKENS + self._raw(arguments) + 2 * self._raw(call["name"])
        if len(calls) > 1:
            tokens += PARALLEL_CALL_TOKENS * len(calls)
        return tokens

    def _content(self, message: BaseMessage) -> int:
        if isinstance(message.content, str):
            return self._raw(message.content)
        tokens = 0
        for part in message.content:
            if isinstance(part, str):
                tokens += self._raw(part)
            elif isinstance(part.get("text"), str):
                tokens += self._raw(part["text"])
            elif part.get("type") not in UNCOUNTED:
                known = part_tokens(part, model=self.model)
                tokens += self._raw(json.dumps(part, default=str)) if known is None else known
        return tokens

    def _raw(self, text: str) -> int:
        if not text:
            return 0
        key = text if len(text) <= 64 else hashlib.sha256(text.encode(errors="replace")).hexdigest()
        with self._lock:
            known = self._counts.get(key)
            if known is not None:
                self._counts.move_to_end(key)
                return known
        count = self._count_text(text)
        with self._lock:
            self._counts[key] = count
            if len(self._counts) > _KEEP:
                self._counts.popitem(last=False)
        return count
