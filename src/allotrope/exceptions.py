"""Every error Allotrope raises on purpose: one base, one class per decision a caller can take.

Provider errors also inherit LangChain's `ModelError` family, so code that already handles
`langchain_core.exceptions.ModelRateLimitError` and friends keeps working, and LangChain's own retry
helpers see `is_retryable`.
"""

from typing import Any

from langchain_core.exceptions import (
    ContextOverflowError as LangChainContextOverflowError,
)
from langchain_core.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)


class AllotropeError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: What was wrong, with the value, in a sentence a person understands.
        hint: What to do next.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} {hint}")
        self.message = message
        self.hint = hint


class InputError(AllotropeError, ValueError):
    """What the user gave can't be used: empty text, a bad thread id, a file that isn't one."""

    exit_code = 2


class UnknownAgentError(InputError):
    """No agent has that name."""


class InputTooLongError(InputError):
    """One message is larger than the window of every model that could answer."""


class PromptError(InputError):
    """A prompt template is unknown or broken, or a value it needs is missing."""


class SettingsError(AllotropeError, ValueError):
    """A setting is missing or malformed; the message names the variable."""

    exit_code = 2


class ProfileError(SettingsError):
    """A parameter profile is unknown or broken, or asks for what its model refuses."""


class StoreError(AllotropeError):
    """A store (Redis, SQLite, PostgreSQL, data folder) can't be opened or used."""

    exit_code = 2


class ThreadMovedOnError(AllotropeError):
    """A thread no longer ends as the history that led to it: the turn belongs in a new one."""


class ThreadBusyError(AllotropeError):
    """Another turn of the thread is still running; nothing was asked and nothing is kept.

    Args:
        retry_after_s: Seconds after which asking again is worth it.
    """

    exit_code = 4

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class PoolFullError(AllotropeError):
    """This process has as much work of one kind as it takes; nothing was begun.

    Args:
        pool: The name of the kind (`allotrope.support.pools`).
        retry_after_s: Seconds after which asking again is worth it.
    """

    def __init__(self, message: str, *, pool: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint="Try again soon.")
        self.pool = pool
        self.retry_after_s = retry_after_s


class BudgetExceededError(AllotropeError):
    """The user's own spending limit refuses the call. Never counts against a provider.

    Args:
        retry_after_s: Seconds until the budget's period ends, if known.
    """

    exit_code = 3

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class LocalOnlyError(BudgetExceededError):
    """A budget is used up for paid providers; the chain's local models may still answer.

    Args:
        provider: The paid provider that isn't asked.
        model: Its model.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after_s: float | None = None,
        provider: str = "unknown",
        model: str = "unknown",
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s)
        self.provider = provider
        self.model = model
        self.code = "budget"


class ProviderError(AllotropeError, ModelError):
    """A model provider failed. The subclass says what a caller can do about it.

    Args:
        message: A sentence for people.
        provider: `openai`, `ollama` or `embedded`.
        model: The model that was asked.
        code: The provider's own error code, where it gave one.
        status: HTTP status, where there was one.
        retry_after_s: Seconds the provider asked to wait, where it said so.
    """

    exit_code = 3
    is_retryable = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        provider: str = "unknown",
        model: str = "unknown",
        code: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.model = model
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s


class AuthenticationFailedError(ProviderError, ModelAuthenticationError):
    """The key is missing, wrong or revoked (HTTP 401)."""


class PermissionRefusedError(ProviderError, ModelPermissionDeniedError):
    """The key is not allowed to do this (HTTP 403)."""


class QuotaExhaustedError(ProviderError):
    """The account has no credit or hit its spending limit; retrying is useless for hours."""


class RateLimitedError(ProviderError, ModelRateLimitError):
    """Too many requests or tokens in a short time (HTTP 429)."""

    is_retryable = True


class ProviderUnavailableError(ProviderError, ModelAPIError):
    """The provider answered with a server error (HTTP 5xx)."""

    is_retryable = True


class ProviderTimeoutError(ProviderError, ModelTimeoutError):
    """No answer in time: no headers, no first token, or a stream that stalled."""

    is_retryable = True


class ProviderUnreachableError(ProviderError, ModelConnectionError):
    """No connection: refused, reset, no such host, or a stream cut in the middle."""

    is_retryable = True


class UnknownModelError(ProviderError, ModelNotFoundError):
    """The provider has no such model (HTTP 404)."""


class ModelGoneError(ProviderError, ModelNotFoundError):
    """The model has ended, or this account may not use it; its successor is asked in its place."""


class ContextOverflowError(ProviderError, LangChainContextOverflowError):
    """The prompt is larger than the window. Memory can re-pack it; the breaker ignores it."""


class RequestRejectedError(ProviderError, ModelInvalidRequestError):
    """The request itself is wrong for this model (HTTP 400, 409, 422). A bug, never an outage."""


class ParameterRefusedError(RequestRejectedError):
    """The model doesn't take one parameter, value or endpoint; without it, it may answer."""


class ContentRefusedError(ProviderError):
    """The provider's content policy refused the prompt or the answer."""


class MalformedReplyError(ProviderError):
    """The reply can't be used: empty, a broken tool call, JSON that isn't, a schema miss.

    Args:
        message: A sentence for people.
        detail: What the model is told of it when it is asked again; may be empty.
        about: As for `ProviderError`.
    """

    def __init__(self, message: str, *, detail: str = "", **about: Any) -> None:
        super().__init__(message, **about)
        self.detail = detail


class OwnShortageError(ProviderError):
    """This process itself lacks what a call needs; the provider is not to blame.

    Its `code` says what: `descriptors`, `disk`, `memory`, or `time` when it stood still.
    """


class UnexpectedProviderError(ProviderError):
    """Something nobody foresaw, most likely a bug of ours or of a library; the turn goes on."""


class CircuitOpenError(ProviderError):
    """The circuit breaker holds calls back; `retry_after_s` says when the next probe may run."""


class LeftQueueError(ProviderError):
    """No request was made: the turn left this model's queue, since an earlier one is back."""


class AllProvidersFailedError(AllotropeError):
    """No model of the chain could answer. `causes` has every provider's own error, in order.

    Args:
        causes: The errors of the providers that were asked, first to last.
        retry_after_s: Seconds until trying again is worth it, if known.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        causes: tuple[BaseException, ...],
        hint: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.causes = causes
        self.retry_after_s = retry_after_s
