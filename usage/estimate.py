"""Token counts for calls whose provider reported none. Every such count is marked `estimated`."""

import json
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


def exact_counter() -> CountText:
    """A counter with the o200k_base vocabulary (o3, o4-mini, gpt-4o and later); loads at first use.

    Where the vocabulary can't be loaded the rule `count_by_rule` is used instead.
    """
    state: list[CountText] = []

    def count(text: str) -> int:
        if not state:
            state.append(_load())
        return state[0](text)

    return count


def _load() -> CountText:
    from allotrope.exceptions import StoreError
    from allotrope.stores.vocabulary import o200k_base

    try:
        encoding = o200k_base()
    except (StoreError, ImportError):
        return count_by_rule
    return lambda text: len(encoding.encode_ordinary(text))


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
