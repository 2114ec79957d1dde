"""Others who answer slowly: each exchange ends at its deadline, however steadily it trickles."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import httpx2
import pytest

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.reading.web import fetch
from allotrope.models.catalogue.listing import ListingRefusedError, fetch_listing
from allotrope.settings.sections import OpenAISettings
from allotrope.settings.usage import NotifierSettings
from allotrope.support.exchanges import limit
from allotrope.usage.reports import notifiers

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
ENDLESS = 300
"""Seconds for which the server goes on: a client without a deadline runs into pytest's timeout."""


@contextmanager
def trickling(start: bytes, piece: bytes) -> Iterator[int]:
    """A server that sends a start and then a few bytes ten times a second; gives its port."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                self.request.sendall(start)
                until = time.monotonic() + ENDLESS
                while not over.wait(0.1) and time.monotonic() < until:
                    self.request.sendall(piece)
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        over.set()
        server.shutdown()


TRICKLES = [
    (HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
    (HEAD, b"X-More: y\r\n"),
    (b"HT", b"T"),
]
NAMES = ["body", "headers", "first line"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("start", "piece"), TRICKLES, ids=NAMES)
@pytest.mark.parametrize("library", [httpx, httpx2])
def test_an_exchange_ends_at_its_deadline(library: object, start: bytes, piece: bytes) -> None:
    with trickling(start, piece) as port, library.Client(timeout=30) as client:  # type: ignore[attr-defined]
        limit(client, 0.5)
        with pytest.raises(library.ReadTimeout):  # type: ignore[attr-defined]
            client.get(f"http://127.0.0.1:{port}/")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("start", "piece"), TRICKLES, ids=NAMES)
def test_a_page_that_trickles_is_given_up(start: bytes, piece: bytes) -> None:
    with trickling(start, piece) as port, pytest.raises(InputError, match="too long"):
        fetch(f"http://127.0.0.1:{port}/", timeout_s=1, private_hosts=["127.0.0.1"])


@pytest.mark.timeout(60)
def test_a_page_whose_tls_trickles_is_given_up() -> None:
    record = b"\x16\x03\x03\x3f\xff"  # a handshake record of 16 KB, byte by byte
    with trickling(record, b"\x02") as port, pytest.raises(InputError):
        fetch(f"https://127.0.0.1:{port}/", timeout_s=1, private_hosts=["127.0.0.1"])


@pytest.mark.timeout(60)
def test_a_list_of_models_that_trickles_is_given_up() -> None:
    with trickling(*TRICKLES[1]) as port:
        settings = OpenAISettings(api_key="sk-x", base_url=f"http://127.0.0.1:{port}/v1")
        with pytest.raises(ListingRefusedError, match="Timeout"):
            fetch_listing(settings, timeout_s=0.5)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["webhook", "smtp"])
def test_a_notifier_that_trickles_is_given_up(
    kind: str, monkeypatch: pytest.MonkeyPatch, alert: notifiers.Alert
) -> None:
    monkeypatch.setattr(notifiers, "WEBHOOK_PAUSES_S", ())
    start, piece = TRICKLES[1] if kind == "webhook" else (b"220-", b"slow")
    with trickling(start, piece) as port:
        settings = NotifierSettings(
            kind=kind, timeout_s=0.5, url=f"http://127.0.0.1:{port}/",
            host="127.0.0.1", port=port, sender="a@b.c", recipients=["d@e.f"],
        )  # fmt: skip
        with pytest.raises((OSError, ConnectionError)):
            notifiers.make_notifier(settings).notify(alert)


def test_a_quick_exchange_is_as_before_and_its_connection_is_kept() -> None:
    answer = HEAD + b"Content-Length: 2\r\n\r\nok"
    served: list[int] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                if line == b"\r\n":
                    served.append(self.client_address[1])
                    self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with limit(httpx2.Client(), 20) as client:
            url = f"http://127.0.0.1:{server.server_address[1]}/"
            assert [client.get(url).text for _ in range(3)] == ["ok"] * 3
        server.shutdown()
    assert len(set(served)) == 1


@pytest.fixture
def alert() -> notifiers.Alert:
    return notifiers.Alert(key="k", kind="budget", severity="info", title="t", message="m", at=NOW)
