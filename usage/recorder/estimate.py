"""Token counts for calls whose provider reported none. Every such count is marked `estimated`."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

CountText = Callable[[str], int]

TOKENS_PER_MESSAGE = 3
"""Tokens around each message in the chat format, and once more before the reply (OpenAI Cookbook,
"How to count tokens with tiktoken")."""


def count_by_rule(text: str) -> int:
    """A token for every four bytes of UTF-8, rounded up.

    Close for English, German and code (-15…+10 % against o200k_base), too low for JSON and base64,
    and near one token for a Chinese or Japanese character.
    """
    return -(-len(text.encode("utf-8", "replace")) // 4)


class CounterNotReadyError(Exception):
    """The vocabulary is being loaded; `wait_until_ready` of the counter tells when it is there."""


class ExactCounter:
    """Counts with the o200k_base vocabulary (o3, o4-mini, gpt-4o and later), loaded at first use.

    Loading takes about half a second, in a thread of its own: until it is there a call raises
    `CounterNotReadyError`, so that whoever counts in a queue can go on with the rest. Where the
    vocabulary can't be loaded the rule `count_by_rule` is used instead.
    """

    def __init__(self) -> None:
        self._count: CountText | None = None
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __call__(self, text: str) -> int:
        """Tokens of a text.

        Raises:
            CounterNotReadyError: The vocabulary is being loaded.
        """
        if self._count is None:
            self._start()
            raise CounterNotReadyError
        return self._count(text)

    def wait_until_ready(self, timeout_s: float = 30.0) -> None:
        """Loads the vocabulary if need be, and waits for it."""
        self._start()
        if not self._ready.wait(timeout_s):
            self.stop_waiting()

    def stop_waiting(self) -> None:
        """Counts by `count_by_rule` where the vocabulary isn't loaded yet."""
        if self._count is None:
            self._count = count_by_rule
        self._ready.set()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._load, name="allotrope-vocabulary", daemon=True
                )
                self._thread.start()

    def _load(self) -> None:
        from allotrope.exceptions import StoreError
        from allotrope.stores.vocabulary import o200k_base, token_ids

        try:
            o200k_base()
            self._count = lambda text: len(token_ids(text))
        except (StoreError, ImportError):
            self._count = count_by_rule
        self._ready.set()


def text_of(message: BaseMessage) -> str:
    """The text of a message, with the names and arguments of its tool calls."""
    content = message.content
    if isinstance(content, str):
        text = content
    else:
        text = "\n".join(_block_text(block) for block in content)
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            text += f"\n{call['name']}{json.dumps(call['args'], default=str, sort_keys=True)}"
    return text


def _block_text(block: str | Mapping[str, Any]) -> str:
    if isinstance(block, str):
        return block
    text = block.get("text") or block.get("reasoning") or block.get("refusal") or ""
    return text if isinstance(text, str) else ""


def prompt_tokens(
    messages: Sequence[BaseMessage | str], tools: Iterable[Any], count: CountText
) -> int:
    """Input tokens of a request, by counting."""
    total = TOKENS_PER_MESSAGE
    for message in messages:
        text = message if isinstance(message, str) else text_of(message)
        total += TOKENS_PER_MESSAGE + count(text)
    return total + tools_tokens(tools, count)


def tools_tokens(tools: Iterable[Any], count: CountText) -> int:
    """Tokens of the tools' definitions, by counting their JSON."""
    return sum(count(json.dumps(tool, default=str)) for tool in tools)


def tool_names(tools: Iterable[Any]) -> list[str]:
    """Names of tools in OpenAI's Chat Completions or Responses shape, sorted."""
    names = []
    for tool in tools:
        if isinstance(tool, Mapping):
            function = tool.get("function")
            name = function.get("name") if isinstance(function, Mapping) else tool.get("name")
            names.append(str(name or tool.get("type") or "unnamed"))
    return sorted(names)
