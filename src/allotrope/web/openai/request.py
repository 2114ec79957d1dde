"""What clients of OpenAI's Chat Completions send, as far as the agents speak it."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allotrope.support.complaints import complaints
from allotrope.web.errors import RequestError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

REFUSED = {
    "logprobs": "the agents give no log probabilities",
    "top_logprobs": "the agents give no log probabilities",
    "audio": "the agents answer in text",
}
"""Parameters that ask for another kind of answer, and why they can't be had. What only sets how a
model writes (`temperature`) or offers it something (`tools`) is ignored and named in the answer."""

SYSTEM = ("system", "developer")
ROLES = ("system", "user", "assistant")

GO_ON = "Go on where your last answer ended."
"""The question of a client whose last message is the assistant's ("Continue response")."""


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


class ContentPart(BaseModel):
    """A part of a message's content."""

    type: str
    text: str | None = None
    refusal: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether it can be read as text."""
        return self.type in ("text", "refusal")


class Message(BaseModel):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        """The text of the message; what else it has is named in its place."""
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(
            (part.text or part.refusal or "") if part.is_text else f"[{part.type} left out]"
            for part in self.content
        )

    def check_is_text(self, param: str) -> None:
        """Refuses a message that asks about more than text.

        Raises:
            RequestError: It has such a part.
        """
        parts = () if isinstance(self.content, str) else self.content or ()
        other = next((part.type for part in parts if not part.is_text), None)
        if other is not None:
            raise RequestError(
                f"The agents read text only, and {param} has a part of type {other!r}. Send the "
                "question without it.",
                param=param,
                code="unsupported_content",
            )


class StreamOptions(BaseModel):
    """What a stream carries besides the text."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request for a chat completion; unknown fields are kept to be named in the answer."""

    model_config = ConfigDict(extra="allow")
    model: str
    messages: list[Message] = Field(min_length=1, max_length=2_000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(default=None, max_length=256)
    n: int | None = None
    response_format: dict[str, Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    allotrope: Options = Options()

    @property
    def ignored(self) -> list[str]:
        """Parameters without effect: a profile sets them here, and agents have their own tools."""
        given = {**(self.model_extra or {}), "tool_choice": self.tool_choice}
        return sorted(name for name, value in given.items() if value is not None)

    @cached_property
    def length(self) -> int:
        """Characters of all messages."""
        return sum(len(message.text) for message in self.messages)

    def conversation(self) -> tuple[list[tuple[str, str]], str]:
        """Role and text of each message before the question, and the question.

        Tool traffic of other systems is left out. The question is the user's last message; where
        the assistant's comes after it, that the answer go on.

        Raises:
            RequestError: There is no question, or it has more than text.
        """
        place, last = next(
            (
                found
                for found in reversed([*enumerate(self.messages)])
                if found[1].role not in SYSTEM
            ),
            (0, self.messages[0]),
        )
        asks = last.role == "user"
        before = self.messages[:place] + self.messages[place + 1 :] if asks else self.messages
        turns: list[tuple[str, str]] = [
            ("system" if one.role in SYSTEM else one.role, one.text) for one in before
        ]
        kept = [(role, text) for role, text in turns if role in ROLES and (text or role == "user")]
        if not asks and not (last.role == "assistant" and any(role == "user" for role, _ in kept)):
            raise RequestError(
                "The last message must be the user's: that is what is answered. The agents call "
                "no tools of a client, so they take no results of any.",
                param="messages",
            )
        last.check_is_text(f"messages[{place}].content")
        return kept, last.text if asks else GO_ON


def read_request(body: Any) -> ChatRequest:
    """A request from its JSON.

    Raises:
        RequestError: A field is missing or wrong, or asks for what the agents don't do.
    """
    try:
        request = ChatRequest.model_validate(body)
    except ValidationError as exc:
        first = complaints(exc)[0]
        where = ".".join(str(part) for part in first.path)  # as OpenAI's API writes it
        message = f"{where or 'The body'}: {first.plain}."
        raise RequestError(message, param=where or None) from exc
    for name, why in REFUSED.items():
        if (request.model_extra or {}).get(name):
            raise RequestError(f"{name} can't be used here: {why}.", param=name)
    if request.n not in (None, 1):
        raise RequestError("n must be 1: an agent gives one answer.", param="n")
    if (request.response_format or {}).get("type", "text") != "text":
        raise RequestError("response_format must be text.", param="response_format")
    if request.tool_choice not in (None, "auto", "none"):
        raise RequestError(
            "tool_choice can only be auto or none: the agents bring their own tools.",
            param="tool_choice",
        )
    _ = request.length  # counted here, where reading is kept off the event loop
    return request


def as_messages(turns: Sequence[tuple[str, str]]) -> "list[BaseMessage]":
    """Roles and texts as LangChain's messages."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    kinds: dict[str, Any] = {"system": SystemMessage, "assistant": AIMessage, "user": HumanMessage}
    return [kinds[role](text) for role, text in turns]
