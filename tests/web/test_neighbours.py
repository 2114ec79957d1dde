"""What one client does to the others: slow requests are cut off, and no text stops the server."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from allotrope.testing import ProviderSimulator

HOSTILE = {
    "dots": ".",
    "blanks": " ",
    "brackets": "[",
    "nested": "<think>",
    "greater": ">",
    "quotes": '"a.csv',
    "numbers": "1 2 ",
}


@pytest.fixture(scope="module")
def server(
    simulator_server: ProviderSimulator,
    tmp_path_factory: pytest.TempPathFactory,
    start_server: Any,
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("neighbours")
    environ = {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": simulator_server.openai_url,
        "OLLAMA_HOST": simulator_server.ollama_url,
        "ALLOTROPE_EMBEDDED__ENABLED": "false",
        "ALLOTROPE_REDIS__EMBEDDED": "false",
        "ALLOTROPE_DATA_DIR": str(folder / "data"),
        "ALLOTROPE_SERVE__REQUEST_S": "2",
        "ALLOTROPE_SERVE__REQUESTS_PER_MINUTE": "100000",
    }
    made = start_server(environ, folder)
    try:
        yield made.ready()
    finally:
        made.end()


def connected(server: Any) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def ends(made: socket.socket, piece: bytes) -> bytes:
    """What the server says while a client trickles, until it hangs up."""
    said = b""
    made.settimeout(0.2)
    while True:
        with contextlib.suppress(TimeoutError):
            part = made.recv(65_536)
            if not part:
                return said
            said += part
            continue
        with contextlib.suppress(OSError):
            made.sendall(piece)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
def test_a_client_that_never_ends_its_headers_is_cut_off(server: Any, start: bytes) -> None:
    with connected(server) as made:
        made.sendall(start)
        assert ends(made, b"X-A: b\r\n" if start else b"").startswith(b"HTTP/1.1 408")


@pytest.mark.timeout(60)
def test_the_second_request_of_a_connection_is_timed_too(server: Any) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with connected(server) as made:
        made.sendall(whole + b"\r\n")
        assert made.recv(65_536).startswith(b"HTTP/1.1 200")
        made.sendall(whole)
        assert b"HTTP/1.1 408" in ends(made, b"X-A: b\r\n")


@pytest.mark.timeout(60)
def test_a_body_that_trickles_is_refused(server: Any) -> None:
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    )
    with connected(server) as made:
        made.sendall(head)
        said = ends(made, b" ")
    assert said.startswith(b"HTTP/1.1 408")
    assert b"within 2 seconds" in said


@pytest.mark.timeout(60)
def test_too_many_headers_are_refused(server: Any) -> None:
    many = "".join(f"X-{number}: y\r\n" for number in range(200))
    with connected(server) as made:
        made.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n{many}\r\n".encode())
        assert made.recv(65_536).startswith(b"HTTP/1.1 431")
    with connected(server) as made, contextlib.suppress(ConnectionError):
        made.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000)
        made.sendall(b"y" * 1_000_000)
        assert b"HTTP/1.1 4" in ends(made, b"")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("text", HOSTILE)
async def test_others_are_served_while_one_sends_a_hostile_text(server: Any, text: str) -> None:
    """The turn may end as it likes; meanwhile each look is answered within the client's 30 s.

    With quadratic parsing one look took 38 s for 40 KB, and hours for a megabyte.
    """
    unit = HOSTILE[text]
    looks = 0
    body = {
        "model": "analyst",
        "messages": [{"role": "user", "content": unit * (1_000_000 // len(unit))}],
    }
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        turn = asyncio.ensure_future(
            client.post("/v1/chat/completions", json=body, timeout=httpx.Timeout(200))
        )
        while not turn.done():
            assert (await client.get("/healthz")).json()["status"]
            looks += 1
            await asyncio.sleep(0.01)
        answer = await turn
    assert answer.status_code in (200, 400, 413)
    assert looks > 0
