"""The bodies of OpenAI's Chat Completions, as far as the agents speak them."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allotrope.web.errors import RequestError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

REFUSED = {
    "tools": "the agents bring their own tools",
    "functions": "the agents bring their own tools",
    "logprobs": "the agents give no log probabilities",
    "audio": "the agents answer in text",
}
"""Parameters that would change the answer's form, and why they can't be had."""


class Options(BaseModel):
    """The field `allotrope` of a request: what OpenAI's API has no name for."""

    model_config = ConfigDict(extra="forbid")
    thread_id: str | None = None
    profile: str | None = None
    prompt_label: str | None = None
    cache: str | None = None
    budget_tokens: int | None = Field(default=None, ge=1)
    tools_allowed: list[str] | None = None
    time_zone: str | None = None
    user_profile: dict[str, str] | None = None
    documents: list[str | dict[str, str]] | None = None

    def context(self) -> dict[str, Any]:
        """As fields of a run's context."""
        return self.model_dump(exclude_none=True, exclude={"thread_id"})


class Part(BaseModel):
    """A part of a message's content."""

    type: str
    text: str | None = None


class Message(BaseModel):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    def text(self, param: str) -> str:
        """The text of the message.

        Raises:
            RequestError: It has parts that are no text.
        """
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        other = next((part.type for part in self.content if part.type != "text"), None)
        if other is not None:
            raise RequestError(f"{param} has a part of type {other!r}; send text.", param=param)
        return "\n".join(part.text or "" for part in self.content)


class StreamOptions(BaseModel):
    """What a stream carries besides the text."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request for a chat completion; unknown fields are kept to be named in the answer."""

    model_config = ConfigDict(extra="allow")
    model: str
    messages: list[Message] = Field(min_length=1, max_length=10_000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(default=None, max_length=256)
    n: int | None = None
    response_format: dict[str, Any] | None = None
    allotrope: Options = Options()

    @property
    def ignored(self) -> list[str]:
        """Parameters without effect: a profile sets them here."""
        return sorted(name for name, value in (self.model_extra or {}).items() if value is not None)

    def turns(self) -> list[tuple[str, str]]:
        """Role and text of each message; tool traffic of other systems is left out."""
        found: list[tuple[str, str]] = []
        for place, message in enumerate(self.messages):
            text = message.text(f"messages[{place}].content")
            role = "system" if message.role == "developer" else message.role
            if role in ("tool", "function") or (not text and role != "user"):
                continue
            found.append((role, text))
        return found


def read_request(body: Any) -> ChatRequest:
    """A request from its JSON.

    Raises:
        RequestError: A field is missing or wrong, or asks for what the agents don't do.
    """
    try:
        request = ChatRequest.model_validate(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RequestError(f"{where or 'The body'}: {first['msg']}.", param=where or None) from exc
    for name, why in REFUSED.items():
        if (request.model_extra or {}).get(name):
            raise RequestError(f"{name} can't be used here: {why}.", param=name)
    if request.n not in (None, 1):
        raise RequestError("n must be 1: an agent gives one answer.", param="n")
    if (request.response_format or {}).get("type", "text") != "text":
        raise RequestError("response_format must be text.", param="response_format")
    if request.messages[-1].role != "user":
        raise RequestError(
            "The last message must be the user's: that is what is answered.", param="messages"
        )
    return request


def as_messages(turns: Sequence[tuple[str, str]]) -> "list[BaseMessage]":
    """Roles and texts as LangChain's messages."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    kinds: dict[str, Any] = {"system": SystemMessage, "assistant": AIMessage, "user": HumanMessage}
    return [kinds[role](text) for role, text in turns]


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


def provenance_of(reply: dict[str, Any], ignored: Sequence[str]) -> dict[str, Any]:
    """The field `allotrope` of an answer: where it came from."""
    names = ("thread_id", "run_id", "provider", "model", "cached", "degraded", "cost_usd")
    found: dict[str, Any] = {name: reply[name] for name in (*names, "latency_ms")}
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
                "finish_reason": "stop",
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
            **self._chunk({}, finish="stop"),
            "allotrope": provenance_of(reply, ignored),
        }

    def usage(self, reply: dict[str, Any]) -> dict[str, Any]:
        """The chunk with the usage, for clients that asked for it."""
        return {**self._head, "choices": [], "usage": usage_of(reply)}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**self._head, "choices": [choice]}
