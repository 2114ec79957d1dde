"""Classification, against the real clients and a loopback server that speaks their wire formats."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

from allotrope import exceptions as ours
from allotrope.models.failures.errors import classify, redact
from allotrope.models.failures.policy import FAILOVER_ERRORS, policy
from allotrope.models.waiting.provider_waits import retry_after
from allotrope.testing.simulator import ProviderSimulator

KEY = "sk-proj-VERYsecret0123456789"


class Reply:
    """What the server says next."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.cut_after: int | None = None
        self.hang_s = 0.0


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Reply]]:
    reply = Reply()
    freed = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            if reply.hang_s:
                freed.wait(reply.hang_s)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut_after])
            if reply.cut_after is not None:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", reply
    freed.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def say(server: tuple[str, Reply]) -> Iterator[Callable[..., None]]:
    def set_reply(status: int, body: Any = "", **more: Any) -> None:
        reply = server[1]
        reply.status = status
        reply.body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        reply.headers = more.get("headers", {"content-type": "application/json"})
        reply.cut_after = more.get("cut_after")
        reply.hang_s = more.get("hang_s", 0.0)

    yield set_reply
    set_reply(200)


@pytest.fixture(scope="module")
def openai(server: tuple[str, Reply]) -> ChatOpenAI:
    return ChatOpenAI(model="o3", api_key=KEY, base_url=server[0], max_retries=0, timeout=0.3)


@pytest.fixture(scope="module")
def ollama(server: tuple[str, Reply]) -> ChatOllama:
    return ChatOllama(model="llama3.1", base_url=server[0], client_kwargs={"timeout": 0.3})


def failure(call: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as caught:
        call()
    return caught.value


def error(**fields: Any) -> dict[str, Any]:
    return {"error": {"message": f"no: {KEY}", **fields}}


OPENAI_CASES = [
    (401, error(code="invalid_api_key"), ours.AuthenticationFailedError),
    (403, error(), ours.PermissionRefusedError),
    (404, error(code="model_not_found"), ours.UnknownModelError),
    (429, error(type="insufficient_quota", code="insufficient_quota"), ours.QuotaExhaustedError),
    (429, error(type="insufficient_quota", code="project_spend_limit_exceeded"),
     ours.QuotaExhaustedError),
    (402, error(), ours.QuotaExhaustedError),
    (429, error(type="tokens", code="rate_limit_exceeded"), ours.RateLimitedError),
    (429, "not json at all", ours.RateLimitedError),
    (400, error(code="context_length_exceeded"), ours.ContextOverflowError),
    (400, {"error": {"code": 400, "type": "exceed_context_size_error", "message": "x"}},
     ours.ContextOverflowError),
    (400, {"error": {"message": "This model's maximum context length is 200000 tokens."}},
     ours.ContextOverflowError),
    (413, error(), ours.ContextOverflowError),
    (400, error(code="unsupported_parameter", param="temperature"), ours.RequestRejectedError),
    (422, error(), ours.RequestRejectedError),
    (400, error(code="content_filter"), ours.ContentRefusedError),
    (400, error(code="invalid_prompt"), ours.ContentRefusedError),
    (408, error(), ours.ProviderTimeoutError),
    (409, error(), ours.ProviderUnavailableError),
    (500, error(code="server_error"), ours.ProviderUnavailableError),
    (503, "<html>bad gateway</html>", ours.ProviderUnavailableError),
    (529, error(), ours.ProviderUnavailableError),
    (200, '{"choices": [', ours.MalformedReplyError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "expected"), OPENAI_CASES)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_openai_answers(
    say: Callable[..., None],
    openai: ChatOpenAI,
    status: int,
    body: Any,
    expected: type[ours.ProviderError],
    asynchronous: bool,
) -> None:
    say(status, body)
    if asynchronous:
        with pytest.raises(Exception) as caught:
            await openai.ainvoke("hi")
        exc: BaseException = caught.value
    else:
        exc = failure(lambda: openai.invoke("hi"))
    found = classify(exc, provider="openai", model="o3")
    assert type(found) is expected, (type(exc), found)
    assert KEY not in str(found)
    assert "secret" not in str(found)
    assert found.status == (status if status >= 400 else None)
    assert found.provider == "openai"
    assert found.model == "o3"


def test_the_client_has_no_key() -> None:
    model = ChatOpenAI(model="o3", api_key=lambda: "", base_url="http://127.0.0.1:9")
    import openai as sdk

    exc = failure(lambda: sdk.OpenAI(api_key=None, base_url="http://127.0.0.1:9"))
    found = classify(exc, provider="openai", model=model.model_name)
    assert type(found) is ours.AuthenticationFailedError
    assert found.code == "no_key"


def test_openai_connections(say: Callable[..., None], openai: ChatOpenAI) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        nobody = ChatOpenAI(model="o3", api_key=KEY, base_url=url, max_retries=0)
        refused = classify(failure(lambda: nobody.invoke("hi")), provider="openai", model="o3")
    assert type(refused) is ours.ProviderUnreachableError
    assert refused.code == "connect"
    assert policy(refused).scope == "provider"

    say(200, '{"choices": []}' * 50, cut_after=20)
    cut = classify(failure(lambda: openai.invoke("hi")), provider="openai", model="o3")
    assert type(cut) is ours.ProviderUnreachableError
    assert cut.code == "cut"
    assert policy(cut).scope == "model"

    say(200, "{}", hang_s=1.0)
    slow = classify(failure(lambda: openai.invoke("hi")), provider="openai", model="o3")
    assert type(slow) is ours.ProviderTimeoutError


def test_an_error_event_inside_a_stream(say: Callable[..., None], openai: ChatOpenAI) -> None:
    event = json.dumps({"error": {"message": "The server had an error", "type": "server_error"}})
    say(200, f"data: {event}\n\n", headers={"content-type": "text/event-stream"})
    exc = failure(lambda: list(openai.stream("hi")))
    found = classify(exc, provider="openai", model="o3")
    assert type(found) is ours.ProviderUnavailableError


def test_a_stalled_async_stream_and_a_closed_loop() -> None:
    from langchain_openai import StreamChunkTimeoutError

    stall = StreamChunkTimeoutError(2.0, model_name="o3", chunks_received=3)
    found = classify(stall, provider="openai", model="o3")
    assert type(found) is ours.ProviderTimeoutError
    assert found.code == "idle"

    loop = asyncio.new_event_loop()
    loop.close()
    exc = failure(lambda: loop.call_soon(print))
    closed = classify(exc, provider="openai", model="o3")
    assert type(closed) is ours.ProviderUnreachableError
    assert policy(closed).counts == "nothing"


OLLAMA_CASES = [
    (404, {"error": 'model "llama3.1" not found, try pulling it first'}, ours.UnknownModelError),
    (400, {"error": "llama3.1 does not support tools"}, ours.UnexpectedProviderError),
    (400, {"error": "the input length exceeds the context length"}, ours.ContextOverflowError),
    (500, {"error": "model requires more system memory"}, ours.ProviderUnavailableError),
    (503, {"error": "server busy, maximum pending requests exceeded"},
     ours.ProviderUnavailableError),
    (200, '{"error": "llama runner process has terminated"}\n', ours.ProviderUnavailableError),
    (200, '{"done": true, "done_reason": "load"}\n', ours.MalformedReplyError),
    (200, "{oops\n", ours.MalformedReplyError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "expected"), OLLAMA_CASES)
def test_ollama_answers(
    say: Callable[..., None],
    ollama: ChatOllama,
    status: int,
    body: Any,
    expected: type[ours.ProviderError],
) -> None:
    say(status, body)
    exc = failure(lambda: ollama.invoke("hi"))
    found = classify(exc, provider="ollama", model="llama3.1")
    assert type(found) is expected, exc


def test_ollama_connections(say: Callable[..., None], ollama: ChatOllama) -> None:
    say(200, '{"message": {}}', hang_s=1.0)
    slow = classify(failure(lambda: ollama.invoke("hi")), provider="ollama", model="llama3.1")
    assert type(slow) is ours.ProviderTimeoutError
    say(200, '{"message": {}}\n' * 5, cut_after=10)
    cut = classify(failure(lambda: ollama.invoke("hi")), provider="ollama", model="llama3.1")
    assert (type(cut), cut.code) == (ours.ProviderUnreachableError, "cut")
    nobody = ChatOllama(model="llama3.1", base_url="http://127.0.0.1:9")
    refused = classify(failure(lambda: nobody.invoke("hi")), provider="ollama", model="llama3.1")
    assert (type(refused), refused.code) == (ours.ProviderUnreachableError, "connect")
    assert policy(refused).scope == "provider"


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (TimeoutError(), ours.ProviderTimeoutError),
        (ConnectionResetError(), ours.ProviderUnreachableError),
        (ConnectionError("Failed to connect to Ollama"), ours.ProviderUnreachableError),
        (httpx.ConnectTimeout("x"), ours.ProviderUnreachableError),
        (httpx.ReadTimeout("x"), ours.ProviderTimeoutError),
        (socket.gaierror(), ours.ProviderUnreachableError),
        (json.JSONDecodeError("x", "y", 0), ours.MalformedReplyError),
        (ValueError("server_error: It broke."), ours.ProviderUnavailableError),
        (
            ValueError("ResponseError(code='rate_limit_exceeded', message='x')"),
            ours.RateLimitedError,
        ),
        (ValueError("{'code': 'insufficient_quota', 'message': 'x'}"), ours.QuotaExhaustedError),
        (ValueError("something: else"), ours.UnexpectedProviderError),
        (TypeError("a bug"), ours.UnexpectedProviderError),
    ],
)
def test_standard_library_and_httpx(exc: BaseException, expected: type[ours.ProviderError]) -> None:
    assert type(classify(exc, provider="ollama", model="m")) is expected


def test_our_own_errors_stay_what_they_are() -> None:
    own = ours.CircuitOpenError("held back", provider="openai", model="o3")
    assert classify(own, provider="x", model="y") is own


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1.5", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 50.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9999999"}, 86_400.0),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "9s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "a while"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now_s=10.0, limited=True) == seconds


def test_a_retry_after_header_arrives(say: Callable[..., None], openai: ChatOpenAI) -> None:
    say(429, error(code="rate_limit_exceeded"), headers={"Retry-After": "42"})
    found = classify(failure(lambda: openai.invoke("hi")), provider="openai", model="o3")
    assert found.retry_after_s == 42.0
    assert policy(found).opens_for_s == 42.0


def make(kind: type[ours.ProviderError], **fields: Any) -> ours.ProviderError:
    return kind("x", provider="openai", model="o3", **fields)


def test_what_never_trips() -> None:
    for kind in (
        ours.RequestRejectedError,
        ours.ContentRefusedError,
        ours.ContextOverflowError,
        ours.MalformedReplyError,
        ours.UnexpectedProviderError,
        ours.CircuitOpenError,
    ):
        assert policy(make(kind)).counts == "nothing", kind
    for refusal in (ours.BudgetExceededError("x"), asyncio.CancelledError(), KeyboardInterrupt()):
        assert policy(refusal).counts == "nothing"
        assert not policy(refusal).failover


def test_what_opens_a_provider_for_long() -> None:
    quota = policy(make(ours.QuotaExhaustedError))
    assert (quota.scope, quota.opens_for_s, quota.alert) == ("provider", 3600.0, True)
    assert policy(make(ours.AuthenticationFailedError)).scope == "provider"
    assert policy(make(ours.UnknownModelError)).scope == "model"


def test_what_may_fail_over() -> None:
    assert ours.RequestRejectedError not in FAILOVER_ERRORS
    assert ours.ProviderError not in FAILOVER_ERRORS
    assert not issubclass(ours.BudgetExceededError, FAILOVER_ERRORS)
    for kind in (ours.RateLimitedError, ours.CircuitOpenError, ours.UnexpectedProviderError):
        assert kind in FAILOVER_ERRORS


def test_keys_are_taken_out() -> None:
    text = f"key {KEY}, Authorization: Bearer abc.def, redis://user:pw@host/0, sk-abc***xyz"
    clean = redact(text)
    assert "secret" not in clean
    assert "abc" not in clean
    assert "pw" not in clean
    assert "host/0" in clean


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hun@ter2@host/db is down",
        "postgresql://me:hunt/er2@host/db is down",
        "redis://:hun#ter2@host/db is down",
        f"the key alt_0123456789ab_{'hunter2' * 6}x is wrong",
        "Authorization: Basic aHVudGVyMg==, host/db",
        "token eyJhbGciOiJFUzI1NiJ9.hunter2hunter2.ter2 is old",
        "ghp_hunter2hunter2ter2 and xoxb-hunter2-ter2",
    ],
)
def test_passwords_with_odd_signs_and_other_keys_are_taken_out(text: str) -> None:
    clean = redact(text)
    assert "ter2" not in clean
    assert "aHVud" not in clean
    assert ("host/db" in clean) == ("host/db" in text)


def test_addresses_without_a_password_stay() -> None:
    for text in ("http://localhost:8080/a@b", "http://[::1]:80/x", "the basic plan", "//a/b"):
        assert redact(text) == text


def test_an_error_event_of_the_responses_api(simulator: ProviderSimulator) -> None:
    model = ChatOpenAI(
        model="o3",
        api_key="sk-x",
        base_url=simulator.openai_url,
        max_retries=0,
        use_responses_api=True,
    )
    simulator.faults.add("sse_error", provider="openai", after_tokens=1)
    caught = failure(lambda: list(model.stream("hi")))
    assert type(classify(caught, provider="openai", model="o3")) is ours.ProviderUnavailableError
    model.root_client.close()
