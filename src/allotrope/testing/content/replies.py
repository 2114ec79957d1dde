"""What a simulated provider is asked and what it answers, apart from any wire format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Provider = Literal["openai", "ollama"]
Api = Literal["chat", "responses", "ollama", "embeddings", "other"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call the simulated model makes.

    Args:
        name: The tool's name.
        arguments: Its arguments; a string is sent as it is, broken or not.
        id: The call's id; made up where None.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReplyOptions:
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    finish_reason: str | None = None
    reasoning_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    delay_s: float = 0.0
    token_delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reply(_ReplyOptions):
    """One answer of the simulated model.

    Args:
        text: The visible text.
        tool_calls: Tool calls, made together.
        refusal: A refusal in place of the text.
        finish_reason: Overrides what follows from the answer (`stop`, `length`, `tool_calls`).
        reasoning_tokens: Hidden tokens; None means the simulator's rule for the model.
        input_tokens: Overrides the counted prompt tokens.
        output_tokens: Overrides the counted visible tokens.
        cached_tokens: Prompt tokens the provider says it took from its own cache; None means the
            simulator's rule (none, unless it has `prompt_caching`).
        cache_write_tokens: Prompt tokens it says it wrote to its cache; None as before.
        delay_s: Seconds before the first byte.
        token_delay_s: Seconds between streamed tokens; None means the simulator's setting.
    """

    text: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation: its role and its text, whatever shape it came in.

    `image_tokens` are the tokens its images count for, `images` tells them apart, and `breakpoints`
    are the places in the text where the client marked a prefix for the provider's cache.
    """

    role: str
    text: str
    tool_call_ids: tuple[str, ...] = ()
    tool_call_id: str | None = None
    image_tokens: int = 0
    images: str = ""
    breakpoints: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool the model may call: its name and the JSON schema of its arguments."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request in one shape for all APIs.

    Args:
        turns: The conversation, oldest first.
        tools: The tools offered.
        tool_choice: `auto`, `none`, `required`, or a tool's name.
        schema: The JSON schema the answer must follow, if any.
        json_mode: Whether any JSON object will do.
        max_tokens: The most tokens the answer may have, hidden ones included.
        effort: The reasoning effort asked for.
    """

    turns: tuple[Turn, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    schema: Mapping[str, Any] | None = None
    json_mode: bool = False
    max_tokens: int | None = None
    effort: str | None = None

    @property
    def text(self) -> str:
        """The text of the last user message, or of the last message where no user spoke."""
        for turn in reversed(self.turns):
            if turn.role == "user":
                return turn.text
        return self.turns[-1].text if self.turns else ""


@dataclass(slots=True, kw_only=True)
class SimRequest:
    """A request as the simulator recorded it.

    Args:
        number: Which request of this provider it is, from 1.
        at: Seconds on the simulator's clock since it started or was reset.
        provider: Which provider was asked.
        api: Which of its APIs.
        path: The path of the URL.
        model: The model named in the body, or "".
        headers: Lower-case names; the key is never kept.
        body: The JSON body, or {}.
        account: Whose key it came with, as a hash; "" for Ollama.
        asked: The same in one shape for all APIs.
        usage: The tokens of its answer: `input`, of those `cached` and `cache_write`; `output`, of
            those `reasoning`. Empty where there was no answer.
        fault: The kind of fault it met, if any.
        status: The HTTP status it got, None while it hangs or when the connection broke before.
        finished: Whether the answer was sent to its end.
        client_left: Whether the client hung up before that.
    """

    number: int
    at: float
    provider: Provider
    api: Api
    path: str
    model: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    account: str = ""
    asked: Asked = field(default_factory=Asked)
    usage: Mapping[str, int] = field(default_factory=dict)
    fault: str | None = None
    status: int | None = None
    finished: bool = False
    client_left: bool = False

    @property
    def text(self) -> str:
        """The text of the last user message."""
        return self.asked.text

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for (Ollama streams unless told not to)."""
        return bool(self.body.get("stream", self.provider == "ollama"))
