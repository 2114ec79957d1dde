"""What a provider's exception means, in one place: our own class, a sentence, and what to do next.

`classify` turns any exception of the OpenAI client, LangChain's OpenAI and Ollama packages, httpx,
httpx2, the standard library or a parser into one of the classes of `allotrope.exceptions`.
`models.policy` says, for such an error, whether to retry, fail over, or count it.

Classes of third parties are matched by their name anywhere in the inheritance line, so that this
module imports none of them (langchain_openai alone costs two seconds). The OpenAI client 3 is built
on httpx2 and Ollama on httpx, with the same class names: one row serves both.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from allotrope.exceptions import (
    AllotropeError,
    AuthenticationFailedError,
    ContentRefusedError,
    ContextOverflowError,
    MalformedReplyError,
    OwnShortageError,
    PermissionRefusedError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ProviderUnreachableError,
    QuotaExhaustedError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedProviderError,
    UnknownModelError,
)
from allotrope.models.waiting.provider_waits import retry_after
from allotrope.stores.lacks import lack_of
from allotrope.support.providers import PROVIDERS, is_local, label_of

LACKING: Mapping[str, str] = {
    "descriptors": "this process has no file descriptors left (`ulimit -n`)",
    "disk": "the disk is full",
    "memory": "this machine has no memory left",
    "database": "the database has no room or no connections left",
    "time": "this process stood still for a while",
}
"""What is ours and not a provider's fault, in words; by what `stores.lacks` finds, and `time`."""

# OpenAI and compatible servers (Azure, llama.cpp, vLLM) name these in `code` or `type`.
_OVERFLOW = {
    "context_length_exceeded",
    "exceed_context_size_error",  # llama.cpp's server
    "string_above_max_length",
    "model_max_prompt_tokens_exceeded",
}
_QUOTA = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_hard_limit_reached",
    "billing_not_active",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
}
_REFUSED = {
    "content_filter",
    "content_policy_violation",
    "invalid_prompt",  # a reasoning model's flag for a prompt against the usage policy
    "responsible_ai_policy_violation",
}
_UNKNOWN_MODEL = {
    "model_not_found",
    "model_not_available",
    "deployment_not_found",
    "deploymentnotfound",  # Azure
}
_RETIRED_MODEL = {
    "model_deprecated",
    "modeldeprecated",  # Azure
    "model_retired",
    "model_decommissioned",  # Groq, Together
    "model_no_longer_available",
}
_KEY = {"invalid_api_key", "account_deactivated", "incorrect_api_key_provided"}
_SLOW_DOWN = {"rate_limit_exceeded", "slow_down", "tokens", "requests"}
_OVERLOADED = {"server_error", "server_is_overloaded", "overloaded_error", "engine_overloaded"}

_BY_CODE: tuple[tuple[set[str], type[ProviderError]], ...] = (
    (_OVERFLOW, ContextOverflowError),
    (_QUOTA, QuotaExhaustedError),
    (_REFUSED, ContentRefusedError),
    (_UNKNOWN_MODEL, UnknownModelError),
    (_RETIRED_MODEL, UnknownModelError),
    (_KEY, AuthenticationFailedError),
    (_SLOW_DOWN, RateLimitedError),
    (_OVERLOADED, ProviderUnavailableError),
)

# (class names, our class, our code). The first row that is in the inheritance line wins.
_BY_NAME: tuple[tuple[tuple[str, ...], type[ProviderError], str | None], ...] = (
    # LangChain's families, also raised by packages other than langchain-openai
    (("ContextOverflowError",), ContextOverflowError, None),
    (("OpenAIRefusalError", "ContentFilterFinishReasonError"), ContentRefusedError, "refusal"),
    (("LengthFinishReasonError",), MalformedReplyError, "length"),
    (("APIResponseValidationError",), MalformedReplyError, "body"),
    (("StreamChunkTimeoutError",), ProviderTimeoutError, "idle"),
    # httpx and httpx2: no connection at all is the provider's, everything later is the model's
    (("ConnectTimeout", "PoolTimeout"), ProviderUnreachableError, "connect_timeout"),
    (("ConnectError", "ProxyError", "UnsupportedProtocol"), ProviderUnreachableError, "connect"),
    (("TimeoutException", "APITimeoutError", "ModelTimeoutError"), ProviderTimeoutError, None),
    (
        ("NetworkError", "ProtocolError", "StreamError", "DecodingError", "TooManyRedirects"),
        ProviderUnreachableError,
        "cut",
    ),
    (("APIConnectionError", "ModelConnectionError"), ProviderUnreachableError, "connect"),
    (("ModelAuthenticationError",), AuthenticationFailedError, None),
    (("ModelPermissionDeniedError",), PermissionRefusedError, None),
    (("ModelNotFoundError",), UnknownModelError, None),
    (("ModelRateLimitError",), RateLimitedError, None),
    (("ModelInvalidRequestError",), RequestRejectedError, None),
    (("ModelAPIError",), ProviderUnavailableError, None),
    (("JSONDecodeError",), MalformedReplyError, "body"),
    (("OutputParserException",), MalformedReplyError, "json"),
    (("ValidationError",), MalformedReplyError, "schema"),
    # the standard library, last because the classes above inherit from it
    (("ConnectionRefusedError", "gaierror", "SSLError"), ProviderUnreachableError, "connect"),
    (("ConnectionResetError", "ConnectionAbortedError"), ProviderUnreachableError, "cut"),
    (("BrokenPipeError", "IncompleteRead"), ProviderUnreachableError, "cut"),
    (("TimeoutError",), ProviderTimeoutError, None),
    (("ConnectionError",), ProviderUnreachableError, "connect"),
)

RETIRED = "retired"
"""The code of an `UnknownModelError` whose words say that the model has ended."""

# "The model `o1-preview` has been deprecated", "… was retired on …", "… is no longer available",
# "… has been shut down": OpenAI's, Azure's, Anthropic's and Groq's wordings. The page of OpenAI's
# deprecations doesn't name the error, so all of these are read.
_ENDED = re.compile(
    r"\b(?:model|deployment)\b[^.]{0,120}\b(?:has been|was|were|is|are)\s+(?:now\s+)?"
    r"(?:deprecated|retired|discontinued|decommissioned|removed|sunset|shut ?down"
    r"|no longer (?:available|supported|offered|served))",
    re.IGNORECASE,
)

# Only where neither a type nor a code tells. Each row says whose wording it is and why it is here.
_BY_WORDING: tuple[tuple[str, type[ProviderError], str | None], ...] = (
    # asyncio: langchain-openai shares one async client over event loops (_client_utils.py:490)
    (r"^Event loop is closed", ProviderUnreachableError, "event_loop_closed"),
    # langchain-ollama: a stream that ends without an answer is a bare ValueError
    (r"^No data received from Ollama", MalformedReplyError, "empty"),
    # Ollama and llama.cpp give a 400/500 without a code; Ollama's own texts (server/routes.go)
    (r"exceeds? (the )?(maximum|available|model'?s?) ?context", ContextOverflowError, None),
    (r"maximum context length is|exceeds the context window", ContextOverflowError, None),
    (r"prompt is too long|input length exceeds", ContextOverflowError, None),
    # Ollama: a model without a tools template; the next model may have tools (server/routes.go)
    (r"does not support tools", UnexpectedProviderError, "tools"),
    (r"server busy|maximum pending requests exceeded", ProviderUnavailableError, "busy"),
    # the OpenAI client without a key raises its base class, at the first call
    (r"api_key client option must be set|Missing credentials", AuthenticationFailedError, "no_key"),
)

_WRAPPERS = {"APIConnectionError", "ModelConnectionError"}

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationFailedError,
    402: QuotaExhaustedError,
    403: PermissionRefusedError,
    404: UnknownModelError,
    408: ProviderTimeoutError,
    409: ProviderUnavailableError,  # OpenAI: a lock that could not be taken; its client retries it
    413: ContextOverflowError,
    425: ProviderUnavailableError,
    429: RateLimitedError,
}


def classify(
    exc: BaseException,
    *,
    provider: str,
    model: str,
    clock: Callable[[], float] = time.time,
) -> ProviderError:
    """Turns any exception of a model call into one of our classes.

    Args:
        exc: What was raised. A `ProviderError` is given back unchanged.
        provider: `openai`, `ollama` or `embedded`.
        model: The model that was asked.
        clock: Seconds since the epoch; needed for a `Retry-After` that is a date.

    Returns:
        The error to raise `from exc`. Its message has no key and no header in it.
    """
    if isinstance(exc, ProviderError):
        return exc
    if isinstance(exc, AllotropeError):  # a part that is missing: settings, weights, a store
        return UnexpectedProviderError(
            exc.message, hint=exc.hint, provider=provider, model=model, code="setup"
        )
    lack = lack_of(exc)
    if lack is not None:
        return own_shortage(lack, provider=provider, model=model)
    status = _status(exc)
    code = _code(exc)
    kind, own_code = _kind(exc, status=status, code=code)
    code = code or own_code
    if _says_ended(exc, kind, status=status, code=code):
        kind, code = UnknownModelError, RETIRED
    retry_after_s = retry_after(_headers(exc), now_s=clock(), limited=status == 429)
    message, hint = _sentence(kind, exc, provider=provider, model=model, code=code, status=status)
    return kind(
        message,
        hint=hint,
        provider=provider,
        model=model,
        code=code,
        status=status,
        retry_after_s=retry_after_s,
    )


def own_shortage(lack: str, *, provider: str, model: str) -> OwnShortageError:
    """The error for a call that this process couldn't make, or couldn't wait for.

    Args:
        lack: A key of `LACKING`.
        provider: Who was to be asked.
        model: Which model.
    """
    who = label_of(provider)
    return OwnShortageError(
        f"{who} couldn't be asked: {LACKING[lack]}.", provider=provider, model=model, code=lack
    )


def _kind(
    exc: BaseException, *, status: int | None, code: str | None
) -> tuple[type[ProviderError], str | None]:
    for name in (code, getattr(exc, "type", None)):
        for codes, kind in _BY_CODE:
            if isinstance(name, str) and name.lower() in codes:
                return kind, name.lower()
    names = {cls.__name__ for cls in type(exc).__mro__}
    # The OpenAI client wraps httpx2's errors: whether a connection ever stood is in the cause.
    causes = [names]
    if names & _WRAPPERS:
        inner = [{cls.__name__ for cls in type(cause).__mro__} for cause in _causes(exc)]
        causes = [*(found for found in inner if not found & _WRAPPERS), names]
    text = str(exc)
    if status is None or status in (-1, 400, 422, 500, 503):
        for pattern, kind, own_code in _BY_WORDING:
            if re.search(pattern, text, re.IGNORECASE):
                return kind, own_code
    if status is None:
        for found in causes:
            for wanted, kind, own_code in _BY_NAME:
                if found & set(wanted):
                    return kind, own_code
        # an error event inside a stream has no status; ollama's has -1
        if "APIError" in names:
            return ProviderUnavailableError, "stream"
        return UnexpectedProviderError, None
    if "ContextOverflowError" in names:
        return ContextOverflowError, None
    if status in _BY_STATUS:
        return _BY_STATUS[status], None
    if status >= 500 or status < 0:
        return ProviderUnavailableError, None
    return RequestRejectedError, None


def _says_ended(
    exc: BaseException, kind: type[ProviderError], *, status: int | None, code: str | None
) -> bool:
    """Whether a refusal says that the model itself has ended."""
    if code in _RETIRED_MODEL:
        return True
    if status not in (400, 403, 404, 410):
        return False
    if kind not in (RequestRejectedError, PermissionRefusedError, UnknownModelError):
        return False
    about = getattr(exc, "param", None)
    return about in (None, "model") and _ENDED.search(str(exc)[:2000]) is not None


def _causes(exc: BaseException) -> Iterable[BaseException]:
    seen: set[int] = set()
    cause = exc.__cause__ or exc.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _status(exc: BaseException) -> int | None:
    status = getattr(exc, "status_code", None)
    if status is None:
        status = getattr(getattr(exc, "response", None), "status_code", None)
    # a broken body with status 200 is no HTTP error
    return status if isinstance(status, int) and not 0 <= status < 400 else None


def _code(exc: BaseException) -> str | None:
    code = getattr(exc, "code", None)
    body = getattr(exc, "body", None)
    if isinstance(body, Mapping):
        inner = body.get("error")
        inner = inner if isinstance(inner, Mapping) else body
        for key in ("code", "type"):
            found = inner.get(key)
            if isinstance(found, str) and any(found.lower() in codes for codes, _ in _BY_CODE):
                return found.lower()
    if type(exc) is ValueError:
        return _code_in_words(str(exc))
    if type(exc).__name__ == "ValidationError" and _about_tool_calls(exc):
        return "tool_call"
    # llama.cpp repeats the HTTP status in `code`
    return code if isinstance(code, str) and not code.isdigit() else None


def _about_tool_calls(exc: BaseException) -> bool:
    """Whether Ollama's client, which reads replies by pydantic, stumbled over a call of a tool."""
    errors = getattr(exc, "errors", None)
    places = [error.get("loc", ()) for error in errors()] if callable(errors) else []
    return any("tool_calls" in place for place in places)


def _code_in_words(text: str) -> str | None:
    """The code in what langchain-openai makes of an error event: a bare `ValueError`.

    `server_error: It broke` (chat_models/base.py:5491), `ResponseError(code='server_error', …)`
    (5488, 5165) or `{'code': 'server_error', …}` (2096). A code we don't know is none.
    """
    found = re.match(r"(\w+): ", text) or re.search(r"\bcode['\"]?[=:] ?['\"](\w+)['\"]", text)
    code = found[1].lower() if found else None
    return code if any(code in codes for codes, _ in _BY_CODE) else None


def _headers(exc: BaseException) -> Mapping[str, str]:
    headers = getattr(getattr(exc, "response", None), "headers", None)
    try:
        return {str(k).lower(): str(v) for k, v in dict(headers or {}).items()}
    except (TypeError, ValueError):
        return {}


_SECRETS = re.compile(
    r"\b(?:sk|pk|rk|sess)-[\w*.…-]{4,}|\balt_[0-9a-f]{12}_[\w-]{8,}"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w.-]{2,}|\b(?:gh[oprsu]_|xox[abprs]-|AIza)[\w-]{8,}"
    r"|(?i:bearer)\s+\S+|(?i:authorization)\W{1,4}(?i:basic)\s+\S+"
    r"|(?<=://)[^/@\s:]{0,100}:(?!\d{1,5}[/?])(?:(?!://)[^\s\"'<>]){0,200}@|(?<=://)[^/@\s]+@"
)
"""Keys and tokens by how they begin, ours too; credentials in headers; user and password of an
address, which people write with any sign in it."""
_IN_A_QUERY = re.compile(r"(?<=[?&])([\w.-]{1,64})=[^&#\s]+")
_SECRET_NAMES = ("key", "token", "secret", "pass", "sig", "auth", "credential")


def redact(text: str) -> str:
    """Takes keys, bearer tokens, and the passwords and keys in URLs out of a text."""
    return _IN_A_QUERY.sub(_hidden_value, _SECRETS.sub("[hidden]", text))


def _hidden_value(found: re.Match[str]) -> str:
    secret = any(word in found[1].lower() for word in _SECRET_NAMES)
    return f"{found[1]}=[hidden]" if secret else found[0]


def _sentence(
    kind: type[ProviderError],
    exc: BaseException,
    *,
    provider: str,
    model: str,
    code: str | None,
    status: int | None,
) -> tuple[str, str | None]:
    who = label_of(provider)
    key_hint = "Set OPENAI_API_KEY (or openai.api_key) to a valid key and try again."
    sentences: dict[type[ProviderError], tuple[str, str | None]] = {
        AuthenticationFailedError: (
            f"{who} has no API key to use." if code == "no_key" else f"{who} refuses the API key.",
            key_hint,
        ),
        PermissionRefusedError: (
            f"{who} doesn't allow this key to use {model}.",
            "Give the key's project access to the model, or choose another model.",
        ),
        QuotaExhaustedError: (
            f"{who} says the account's credit or spending limit is used up.",
            f"Add credit or raise the limit, then run `allotrope breaker reset {provider}`.",
        ),
        RateLimitedError: (f"{who} is rate-limited.", None),
        ProviderUnavailableError: (
            f"{who} has a server error" + (f" (HTTP {status})." if (status or 0) > 0 else "."),
            None,
        ),
        ProviderTimeoutError: (f"{who} didn't answer in time.", None),
        ProviderUnreachableError: (
            f"{who} cut the connection." if code == "cut" else f"{who} can't be reached.",
            "Is it running? `allotrope doctor` checks it."
            if is_local(provider)
            else "Check the network and the base URL; `allotrope doctor` does.",
        ),
        UnknownModelError: (
            f"{who} has no model {model!r}.",
            PROVIDERS[provider].if_missing.format(model=model)
            if provider in PROVIDERS
            else "Choose another model.",
        ),
        ContextOverflowError: (f"The prompt is larger than the window of {model}.", None),
        RequestRejectedError: (f"{who} rejected the request for {model}{_detail(exc)}", None),
        ContentRefusedError: (
            f"{who}'s content policy refused this prompt or its answer.",
            "Rephrase the question.",
        ),
        MalformedReplyError: (
            f"{model} on {who} gave a reply that can't be used ({code or 'malformed'}).",
            None,
        ),
    }
    default = (f"{who} failed in an unexpected way ({type(exc).__name__}).", None)
    return sentences.get(kind, default)


def _detail(exc: BaseException) -> str:
    """What a 400 was about: its parameter and text, cut short, keys taken out."""
    param = getattr(exc, "param", None)
    body = getattr(exc, "body", None)
    text = body.get("message") if isinstance(body, Mapping) else getattr(exc, "error", str(exc))
    text = redact(str(text or "")).strip().replace("\n", " ")[:200]
    where = f" (parameter {param})" if isinstance(param, str) else ""
    return f"{where}: {text}" if text else f"{where}."


def describe(error: BaseException) -> dict[str, Any]:
    """The facts of an error that may be logged: classes, codes and numbers, never content."""
    return {
        "error": type(error).__name__,
        "provider": getattr(error, "provider", None),
        "model": getattr(error, "model", None),
        "code": getattr(error, "code", None),
        "status": getattr(error, "status", None),
        "retry_after_s": getattr(error, "retry_after_s", None),
    }
