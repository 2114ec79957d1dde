"""The error bodies of the real providers, in one place.

Wordings and codes are those of OpenAI's API as users reported them in public issues: quota and
unknown model Teakinboyewa/SpatialAnalysisAgent#17, usage policy
BeehiveInnovations/pal-mcp-server#178, context crewAIInc/crewAI-examples#121; the other two overflow
wordings are those langchain-openai looks for. What a model refuses stands in `refusals.py`.
"""

from collections.abc import Mapping
from typing import Any

OVERFLOW_MESSAGES = (
    "This model's maximum context length is {limit} tokens. However, your messages resulted in "
    "{tokens} tokens. Please reduce the length of the messages.",
    "Input tokens exceed the configured limit of {limit} tokens. Your messages resulted in "
    "{tokens} tokens. Please reduce the length of the messages.",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
)
"""The three wordings of a context overflow; the code is `context_length_exceeded` in each."""

_POLICY = (
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try "
    "again with a different prompt: https://platform.openai.com/docs/guides/reasoning#advice-on-prompting"
)
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, read the docs: "
    "https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_SERVER = "The server had an error while processing your request. Sorry about that!"
_BUSY = "The server is currently overloaded with other requests. Sorry about that!"


class ErrorReply(Exception):  # it is a reply first; raising it only ends the handling
    """An HTTP error the simulated provider answers with.

    Args:
        status: HTTP status.
        body: JSON body, or raw text where the real server sends no JSON.
        headers: Extra headers, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        body: Mapping[str, Any] | str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = headers or {}


def openai_error(
    status: int,
    message: str,
    *,
    code: str | None = None,
    type: str = "invalid_request_error",
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ErrorReply:
    """An error in OpenAI's envelope."""
    error = {"message": message, "type": type, "param": param, "code": code}
    return ErrorReply(status, {"error": error}, headers or {})


def missing_key() -> ErrorReply:
    """401: no key was sent."""
    return openai_error(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    )


def wrong_key(key: str) -> ErrorReply:
    """401: the key is unknown; masked as the real API masks it."""
    masked = key if len(key) <= 4 else f"{key[:3]}{'*' * max(4, len(key) - 7)}{key[-4:]}"
    return openai_error(
        401,
        f"Incorrect API key provided: {masked}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
    )


def unknown_model(model: str) -> ErrorReply:
    """404: there is no such model, or not for this key."""
    return openai_error(
        404,
        f"The model `{model}` does not exist or you do not have access to it.",
        code="model_not_found",
    )


def context_overflow(
    *, limit: int, tokens: int, variant: int = 0, param: str = "messages"
) -> ErrorReply:
    """400: the prompt is larger than the window, in one of the known wordings."""
    message = OVERFLOW_MESSAGES[variant % len(OVERFLOW_MESSAGES)]
    return openai_error(
        400,
        message.format(limit=limit, tokens=tokens),
        code="context_length_exceeded",
        param=param,
    )


def by_kind(
    kind: str, *, provider: str, model: str, retry_after: str | None = None, variant: int = 0
) -> ErrorReply | None:
    """The HTTP error of a fault kind, or None where the fault is no HTTP error.

    Args:
        kind: A status such as `503`, or `quota`, `content_policy`, `context_overflow`.
        provider: Whose envelope to use.
        model: The model that was asked for.
        retry_after: The value of the Retry-After header, where one is sent.
        variant: Which wording of a context overflow.
    """
    headers = {"retry-after": retry_after} if retry_after is not None else {}
    if provider == "ollama":
        return _ollama(kind, model, headers)
    if kind == "quota":
        return openai_error(
            429, _QUOTA, type="insufficient_quota", code="insufficient_quota", headers=headers
        )
    if kind == "content_policy":
        return openai_error(400, _POLICY, code="invalid_prompt")
    if kind == "context_overflow":
        return context_overflow(limit=200_000, tokens=204_308, variant=variant)
    if kind == "401":
        return wrong_key("sk-fault-0000")
    if kind == "404":
        return unknown_model(model)
    if kind == "429":
        return openai_error(
            429,
            f"Rate limit reached for {model} in organization org-simulator on requests per min "
            "(RPM): Limit 500, Used 500, Requested 1. Please try again in 120ms.",
            type="requests",
            code="rate_limit_exceeded",
            headers={
                **headers,
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "120ms",
            },
        )
    if kind == "403":
        return openai_error(
            403,
            f"Project `proj_simulator` does not have access to model `{model}`.",
            code="model_not_found",
        )
    if kind == "502":
        return ErrorReply(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", headers)
    if kind == "503":
        return openai_error(
            503, _BUSY, type="service_unavailable", code="server_is_overloaded", headers=headers
        )
    if kind.isdigit() and 400 <= int(kind) <= 599:
        server = int(kind) >= 500
        return openai_error(
            int(kind),
            _SERVER if server else f"Simulated HTTP {kind}.",
            type="server_error" if server else "invalid_request_error",
            headers=headers,
        )
    return None


def _ollama(kind: str, model: str, headers: Mapping[str, str]) -> ErrorReply | None:
    messages = {
        "404": f"model '{model}' not found",
        "500": "llama runner process has terminated: exit status 2",
        "503": "server busy, please try again.  maximum pending requests exceeded",
    }
    status = {"quota": "429", "content_policy": "400", "context_overflow": "400"}.get(kind, kind)
    if not (status.isdigit() and 400 <= int(status) <= 599):
        return None
    text = messages.get(status, f"simulated {kind}")
    if kind == "context_overflow":
        text = "the input length exceeds the context length"
    return ErrorReply(int(status), {"error": text}, headers)


def mid_stream_error(provider: str) -> dict[str, Any]:
    """What the provider writes into a stream that fails half-way."""
    if provider == "ollama":
        return {"error": "an error was encountered while running the model"}
    return {"error": {"message": _SERVER, "type": "server_error", "param": None, "code": None}}
