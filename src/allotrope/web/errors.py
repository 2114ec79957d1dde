"""Errors as HTTP: the status of each class, and OpenAI's form of an error."""

from dataclasses import dataclass

from starlette.responses import JSONResponse

from allotrope.exceptions import (
    AllotropeError,
    AllProvidersFailedError,
    BudgetExceededError,
    ContextOverflowError,
    InputError,
    InputTooLongError,
    PoolFullError,
    ProfileError,
    ProviderError,
    StoreError,
    UnknownAgentError,
)

WORTH_RETRYING = frozenset(
    {"rate_limit_exceeded", "overloaded", "server_starting", "server_stopping", "thread_busy"}
)
"""Codes of refusals before a turn began: the same request later, or elsewhere, can pass."""


@dataclass(frozen=True)
class Problem:
    """An error on its way to a client.

    Args:
        status: HTTP status.
        message: A sentence for people.
        type: OpenAI's `type`.
        code: OpenAI's `code`.
        param: The field that is wrong.
        retry_after_s: When to come back, seconds.
    """

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None

    def body(self) -> dict[str, object]:
        """OpenAI's form of an error."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """The HTTP answer. Clients aren't asked to retry what the runtime has retried already."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, -int(-self.retry_after_s // 1)))
        if self.status >= 400 and self.code not in WORTH_RETRYING:
            headers["x-should-retry"] = "false"
        return JSONResponse(self.body(), self.status, headers)


class RequestError(InputError):
    """A request that can't be used as it is.

    Args:
        message: What is wrong, and what to do.
        param: The field.
        status: HTTP status.
        code: OpenAI's `code`.
        retry_after_s: When to come back, seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        status: int = 400,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.param = param
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class BusyError(RequestError):
    """A turn that can't begin now, and can later."""


def unknown_url(method: str, path: str) -> Problem:
    """What OpenAI says of an address that it doesn't have."""
    return Problem(
        404,
        f"Unknown request URL: {method} {path}. The API is at /v1/chat/completions and /v1/models.",
        code="unknown_url",
    )


def wrong_method(method: str, path: str) -> Problem:
    """What OpenAI says of a method that an address doesn't take."""
    return Problem(
        405, f"Not allowed to {method} on {path}. Use another method.", code="method_not_supported"
    )


def is_of_a_store(exc: Exception) -> bool:
    """Whether an error comes from a database or a file."""
    library = type(exc).__module__.partition(".")[0]
    return isinstance(exc, StoreError | OSError) or library in ("sqlite3", "sqlalchemy", "psycopg")


def problem_of(exc: Exception) -> Problem:
    """What a client is told about an exception; an unforeseen one is not described."""
    if isinstance(exc, RequestError):
        return Problem(
            exc.status,
            str(exc),
            type="server_error" if exc.status >= 500 else "invalid_request_error",
            code=exc.code,
            param=exc.param,
            retry_after_s=exc.retry_after_s,
        )
    if isinstance(exc, UnknownAgentError):
        return Problem(404, str(exc), code="model_not_found", param="model")
    if isinstance(exc, InputTooLongError | ContextOverflowError):
        return Problem(400, str(exc), code="context_length_exceeded", param="messages")
    if isinstance(exc, InputError | ProfileError):
        return Problem(400, str(exc), code="invalid_value")
    if isinstance(exc, BudgetExceededError):
        return Problem(
            429,
            str(exc),
            type="insufficient_quota",
            code="insufficient_quota",
            retry_after_s=exc.retry_after_s,
        )
    if isinstance(exc, AllProvidersFailedError | ProviderError):
        return Problem(
            503,
            str(exc),
            type="server_error",
            code="no_model_available",
            retry_after_s=exc.retry_after_s,
        )
    if isinstance(exc, PoolFullError):
        return Problem(
            503,
            str(exc),
            type="server_error",
            code="overloaded",
            retry_after_s=exc.retry_after_s,
        )
    if isinstance(exc, StoreError):
        return Problem(503, str(exc), type="server_error", code="store_unavailable")
    if isinstance(exc, AllotropeError):
        return Problem(500, str(exc), type="server_error", code="internal_error")
    if is_of_a_store(exc):
        return Problem(
            503,
            "A store of this server can't be used at the moment. If the thread doesn't show your "
            "message, send it again.",
            type="server_error",
            code="store_unavailable",
            retry_after_s=5,
        )
    return Problem(
        500,
        "Something unforeseen went wrong; the log has its name. If the thread doesn't show your "
        "message, send it again.",
        type="server_error",
        code="internal_error",
    )
