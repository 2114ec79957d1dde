"""What clients of OpenAI's Chat Completions get: whole answers and chunks."""

import time
from collections.abc import Sequence
from typing import Any


def usage_of(reply: dict[str, Any]) -> dict[str, Any]:
    """Tokens of a turn, all calls together, in OpenAI's names."""
    used = reply["usage"]
    return {
        "prompt_tokens": used["input_tokens"],
        "completion_tokens": used["output_tokens"],
        "total_tokens": used["input_tokens"] + used["output_tokens"],
        "prompt_tokens_details": {"cached_tokens": used["cached_input_tokens"]},
        "completion_tokens_details": {"reasoning_tokens": used["reasoning_tokens"]},
    }


def finish_of(reply: dict[str, Any]) -> str:
    """Why the answer ends, in OpenAI's words: `length` where the model's limit cut it off."""
    return "length" if reply.get("truncated") else "stop"


def provenance_of(reply: dict[str, Any], ignored: Sequence[str]) -> dict[str, Any]:
    """The field `allotrope` of an answer: where it came from."""
    names = ("thread_id", "run_id", "provider", "model", "cached", "degraded", "succession")
    found: dict[str, Any] = {
        name: reply[name] for name in (*names, "repairs", "cost_usd", "latency_ms")
    }
    if ignored:
        found["ignored"] = list(ignored)
    return found


def completion(reply: dict[str, Any], *, model: str, ignored: Sequence[str]) -> dict[str, Any]:
    """A whole answer."""
    return {
        "id": f"chatcmpl-{reply['run_id']}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": reply["answer"], "refusal": None},
                "finish_reason": finish_of(reply),
                "logprobs": None,
            }
        ],
        "usage": usage_of(reply),
        "allotrope": provenance_of(reply, ignored),
    }


class Chunks:
    """The chunks of one streamed answer.

    Args:
        id: Of the answer.
        model: The agent, as the client named it.
    """

    def __init__(self, id: str, model: str) -> None:
        self._head = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }

    def text(self, text: str, *, first: bool = False) -> dict[str, Any]:
        """A piece of the answer."""
        return self._chunk({"role": "assistant", "content": text} if first else {"content": text})

    def note(self, event: dict[str, Any]) -> dict[str, Any]:
        """Something of ours: a tool, a degraded service, a restart. Other clients pass over it."""
        return {**self._chunk({}), "allotrope": event}

    def end(self, reply: dict[str, Any], ignored: Sequence[str]) -> dict[str, Any]:
        """The last piece, with where the answer came from."""
        return {
            **self._chunk({}, finish=finish_of(reply)),
            "allotrope": provenance_of(reply, ignored),
        }

    def usage(self, reply: dict[str, Any]) -> dict[str, Any]:
        """The chunk with the usage, for clients that asked for it."""
        return {**self._head, "choices": [], "usage": usage_of(reply)}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**self._head, "choices": [choice]}
