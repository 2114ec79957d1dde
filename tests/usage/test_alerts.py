"""Notifiers deliver or say why not; forecasts and anomalies are raised once."""

import hashlib
import hmac
import json
import logging
import socketserver
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from allotrope.settings.usage import BudgetSettings, NotifierSettings, UsageSettings
from allotrope.usage.budgets.guard import Budgets
from allotrope.usage.budgets.reservations import LocalReservations
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.queries import sums as queries
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.reports.alerts import AlertCenter, Watch
from allotrope.usage.reports.notifiers import (
    Alert,
    Dispatcher,
    WebhookNotifier,
    deliver,
    make_notifier,
)

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
ALERT = Alert("k", "budget", "warning", "Budget team: 80 % used", "$8 of $10", NOW, {"percent": 80})


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]], list[int]]]:
    got: list[dict[str, Any]] = []
    answers: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append({"headers": dict(self.headers), "body": body})
            self.send_response(answers.pop(0) if answers else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got, answers
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_is_signed_and_speaks_slack(hook: Any) -> None:
    url, got, _ = hook
    deliver(ALERT, [make_notifier(NotifierSettings(kind="webhook", url=url, secret="s3"))])
    (one,) = got
    body = json.loads(one["body"])
    assert body["text"] == "*Budget team: 80 % used*\n$8 of $10"
    assert body["alert"]["data"] == {"percent": 80}
    stamp = one["headers"]["X-Allotrope-Timestamp"]
    wanted = hmac.new(b"s3", b"v1:" + stamp.encode() + b":" + one["body"], hashlib.sha256)
    assert one["headers"]["X-Allotrope-Signature"] == f"v1={wanted.hexdigest()}"


def test_a_webhook_is_tried_again_but_not_on_a_refusal(hook: Any) -> None:
    url, got, answers = hook
    pauses: list[float] = []
    notifier = WebhookNotifier(NotifierSettings(kind="webhook", url=url), sleep=pauses.append)
    answers += [503, 429, 200]
    assert deliver(ALERT, [notifier]) == []
    assert (len(got), pauses) == (3, [0.5, 2.0])
    answers += [404]
    (problem,) = deliver(ALERT, [notifier])
    assert "404" in problem
    assert len(got) == 4
    assert url not in problem


def test_a_broken_notifier_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "alert.json"
    program = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"
    broken = NotifierSettings(kind="command", command=("/does/not/exist",))
    works = NotifierSettings(kind="command", command=(sys.executable, "-c", program))
    dispatcher = Dispatcher([make_notifier(broken), make_notifier(works)])
    dispatcher.send(ALERT)
    assert dispatcher.drain(10)
    assert json.loads(out.read_text())["title"] == "Budget team: 80 % used"
    assert "could not deliver" in caplog.text


def test_mail_speaks_smtp() -> None:
    said: list[str] = []

    class Server(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 hello\r\n")
            data = False
            for raw in self.rfile:
                line = raw.decode().strip()
                said.append(line)
                if data:
                    if line == ".":
                        data = False
                        self.wfile.write(b"250 taken\r\n")
                elif line.upper() == "DATA":
                    data = True
                    self.wfile.write(b"354 go\r\n")
                elif line.upper() == "QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 ok\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        settings = NotifierSettings(
            kind="smtp",
            host="127.0.0.1",
            port=server.server_address[1],
            starttls=False,
            sender="a@example.org",
            recipients=("b@example.org",),
        )
        assert deliver(ALERT, [make_notifier(settings)]) == []
        thread.join()
    assert "$8 of $10" in said
    assert any(line.startswith("Subject: [allotrope] Budget team") for line in said)


@pytest.mark.parametrize("kind", ["webhook", "smtp", "command"])
def test_an_incomplete_notifier_says_what_it_needs(kind: Any) -> None:
    with pytest.raises(ValueError, match=f"a {kind} notifier needs"):
        NotifierSettings(kind=kind)


def hour_rows(start: datetime, hours: int, usd: str) -> list[CallRow]:
    return [
        CallRow(id=f"{start}-{n}", at=microseconds(start + timedelta(hours=n)), cost=Decimal(usd))
        for n in range(hours)
    ]


def test_an_unusual_hour_is_told_once(tmp_path: Path) -> None:
    sent: list[Alert] = []
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        begin = NOW.replace(minute=0) - timedelta(hours=100)
        ledger.write(hour_rows(begin, 99, "1.00"))
        watch = Watch(
            lambda: ledger, AlertCenter(lambda: ledger, sent.append), UsageSettings(),
            now=lambda: NOW,
        )  # fmt: skip
        watch.look()
        assert sent == []
        ledger.write([CallRow(id="x", at=microseconds(NOW - timedelta(hours=1)), cost=Decimal(9))])
        watch.look()
        watch.look()
    assert [alert.kind for alert in sent] == ["anomaly"]
    assert "cost $9.00; the median of the 99 hours before is $1.00" in sent[0].message


def test_a_budget_that_will_not_last_is_told_once(tmp_path: Path) -> None:
    sent: list[Alert] = []
    now = datetime(2026, 11, 10, tzinfo=UTC)
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        budgets = Budgets(
            [BudgetSettings(name="team", usd=Decimal(100))],
            reservations=LocalReservations(),
            prices=PriceBook(),
            spent=lambda *_: 50 * 10**9,
            now=lambda: now,
        )
        center = AlertCenter(lambda: ledger, sent.append)
        watch = Watch(lambda: ledger, center, UsageSettings(), budgets=budgets, now=lambda: now)
        watch.look()
        watch.look()
    assert [(alert.kind, alert.key) for alert in sent] == [("forecast", "forecast/team//2026-11")]
    assert "ends on the 19th" in sent[0].message


def test_single_calls_are_kept_as_long_as_is_set_and_sums_for_ever(tmp_path: Path) -> None:
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        ledger.write(hour_rows(NOW - timedelta(days=20), 5, "1.00"))
        ledger.write(hour_rows(NOW - timedelta(days=2), 3, "1.00"))
        center = AlertCenter(lambda: ledger, lambda _: None)
        settings = UsageSettings(retention_days=10)
        Watch(lambda: ledger, center, settings, now=lambda: NOW).look()
        month = queries.last_days(30, NOW)
        assert len(queries.rows(ledger, month)) == 3
        assert queries.totals(ledger, month).calls == 8


def test_the_log_notifier_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        deliver(ALERT, [make_notifier(NotifierSettings())])
    assert "Budget team: 80 % used: $8 of $10" in caplog.text
