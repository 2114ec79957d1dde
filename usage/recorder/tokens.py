"""Tokens of one call, and how they are read from what LangChain hands over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LARGEST_CALL = 20_000_000
"""More tokens than any model takes in one call (the largest windows are 1–2 million); beyond that
a provider's number is taken for nonsense."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call.

    Attributes:
        input: All input tokens, those read from the provider's prompt cache included.
        output: All output tokens, reasoning included.
        cached: Input tokens that the provider read from its prompt cache.
        cache_write: Input tokens that the provider wrote to its prompt cache.
        reasoning: Output tokens that were spent on reasoning.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input + self.output


NONE = Tokens()


def checked(
    input_: Any, output: Any, cached: Any = 0, cache_write: Any = 0, reasoning: Any = 0
) -> Tokens | None:
    """Tokens from a provider's numbers, or None where they can't be true.

    Negative, huge and non-integer numbers are refused. More cached than input, or more reasoning
    than output, is cut to the whole: the whole is what is billed.
    """
    numbers = [input_, output, cached or 0, cache_write or 0, reasoning or 0]
    for index, number in enumerate(numbers):
        if isinstance(number, float) and number.is_integer():
            numbers[index] = number = int(number)
        if type(number) is not int or not 0 <= number <= LARGEST_CALL:
            return None
    whole_in, whole_out, cached, cache_write, reasoning = numbers
    cached = min(cached, whole_in)
    return Tokens(
        whole_in,
        whole_out,
        cached,
        min(cache_write, whole_in - cached),
        min(reasoning, whole_out),
    )


def from_usage_metadata(usage: Mapping[str, Any]) -> Tokens | None:
    """Reads LangChain's `usage_metadata`; None where it lacks the counts or they are nonsense."""
    if "input_tokens" not in usage and "output_tokens" not in usage:
        return None
    details_in = usage.get("input_token_details") or {}
    details_out = usage.get("output_token_details") or {}
    return checked(
        usage.get("input_tokens", 0),
        usage.get("output_tokens", 0),
        _detail(details_in, "cache_read"),
        _detail(details_in, "cache_creation"),
        _detail(details_out, "reasoning"),
    )


def _detail(details: Mapping[str, Any], name: str) -> Any:
    """A count of `usage_metadata`'s details; on other tiers langchain-openai puts theirs first."""
    names = (name, f"flex_{name}", f"priority_{name}")
    return next((details[one] for one in names if details.get(one)), None)


def from_provider(raw: Mapping[str, Any]) -> Tokens | None:
    """Reads a provider's own usage: Chat Completions, Responses or Ollama's counters."""
    if "prompt_tokens" in raw or "completion_tokens" in raw:
        details_in = raw.get("prompt_tokens_details") or {}
        details_out = raw.get("completion_tokens_details") or {}
        return checked(
            raw.get("prompt_tokens") or 0,
            raw.get("completion_tokens") or 0,
            details_in.get("cached_tokens"),
            details_in.get("cache_write_tokens"),
            details_out.get("reasoning_tokens"),
        )
    if "input_tokens" in raw or "output_tokens" in raw:
        details_in = raw.get("input_tokens_details") or {}
        details_out = raw.get("output_tokens_details") or {}
        return checked(
            raw.get("input_tokens") or 0,
            raw.get("output_tokens") or 0,
            details_in.get("cached_tokens"),
            details_in.get("cache_write_tokens"),
            details_out.get("reasoning_tokens"),
        )
    if raw.get("prompt_eval_count") is not None or raw.get("eval_count") is not None:
        return checked(raw.get("prompt_eval_count") or 0, raw.get("eval_count") or 0)
    return None


def from_saved(saved: Mapping[str, Any]) -> Tokens | None:
    """Reads the `saved` entry of the provenance of a cache hit."""
    if not saved:
        return None
    return checked(
        saved.get("input_tokens") or 0,
        saved.get("output_tokens") or 0,
        saved.get("cached_input_tokens"),
        0,
        saved.get("reasoning_tokens"),
    )
