"""Where alerts and scheduled reports go: log, webhook, mail, a command. All of them may fail."""

import contextlib
import hashlib
import hmac
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from allotrope.settings.usage import NotifierSettings
from allotrope.stores.errors import error_name
from allotrope.support.exchanges import limit

logger = logging.getLogger("allotrope.usage.reports.alerts")

WEBHOOK_PAUSES_S = (0.5, 2.0, 5.0)
"""Pauses between attempts of a webhook."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something people should know.

    Attributes:
        key: Unique per happening; the same key is never sent twice.
        kind: `budget`, `forecast`, `anomaly`, `model` (one that ends) or `report`.
        severity: `info`, `warning` or `critical`.
        data: Numbers and names for machines.
    """

    key: str
    kind: str
    severity: str
    title: str
    message: str
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The alert as plain types."""
        return {
            "key": self.key,
            "kind": self.kind,
            "severity": self.severity,
            "title": self.title,
            "message": self.message,
            "at": self.at.isoformat(),
            "data": dict(self.data),
        }


class Notifier(Protocol):
    """Takes an alert somewhere; raises where that fails."""

    def notify(self, alert: Alert) -> None:
        """Delivers the alert."""


class LogNotifier:
    """Into the log, at WARNING (INFO for reports)."""

    def notify(self, alert: Alert) -> None:
        """Delivers the alert."""
        level = logging.INFO if alert.severity == "info" else logging.WARNING
        logger.log(level, "%s: %s", alert.title, alert.message)


def _for_slack(text: str) -> str:
    """Text as text: with `<!channel>` or `<@U1>` in a name nobody is called.

    The three characters that Slack asks to escape: docs.slack.dev, "Formatting message text".
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class WebhookNotifier:
    """POSTs Slack-compatible JSON: `text` for people, `alert` for machines.

    With a secret the body is signed: `X-Allotrope-Timestamp`, and `X-Allotrope-Signature:
    v1=HEX` of HMAC-SHA256 over `v1:TIMESTAMP:BODY` (Slack's own scheme for requests).

    Args:
        settings: URL, secret, timeout.
        sleep: Waits between attempts.
    """

    def __init__(
        self, settings: NotifierSettings, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._sleep = sleep

    def notify(self, alert: Alert) -> None:
        """Delivers the alert; tries again on 429, 5xx and broken connections."""
        import httpx

        url = self._settings.url
        if url is None:
            return
        text = _for_slack(f"*{alert.title}*\n{alert.message}")
        document = {"text": text, "alert": alert.to_json()}
        body = json.dumps(document, default=str).encode()
        for pause_s in (*WEBHOOK_PAUSES_S, None):
            try:
                with httpx.Client(timeout=self._settings.timeout_s) as client:
                    answer = limit(client, self._settings.timeout_s, once=True).post(
                        url.get_secret_value(), content=body, headers=self._headers(body)
                    )
                if answer.status_code < 300:
                    return
                problem = f"HTTP {answer.status_code}"
                final = answer.status_code < 500 and answer.status_code != 429
            except httpx.HTTPError as exc:
                problem, final = error_name(exc), False
            if final or pause_s is None:
                raise ConnectionError(f"the webhook answered with {problem}")
            self._sleep(pause_s)

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._settings.secret is not None:
            stamp = str(int(time.time()))
            key = self._settings.secret.get_secret_value().encode()
            digest = hmac.new(key, b"v1:" + stamp.encode() + b":" + body, hashlib.sha256)
            headers["X-Allotrope-Timestamp"] = stamp
            headers["X-Allotrope-Signature"] = f"v1={digest.hexdigest()}"
        return headers


class SmtpNotifier:
    """Sends a mail.

    Args:
        settings: Server, sender, recipients.
    """

    def __init__(self, settings: NotifierSettings) -> None:
        self._settings = settings

    def notify(self, alert: Alert) -> None:
        """Delivers the alert."""
        from email.message import EmailMessage

        settings = self._settings
        mail = EmailMessage()
        mail["Subject"] = f"[allotrope] {alert.title}".replace("\n", " ")
        mail["From"] = settings.sender or ""
        mail["To"] = ", ".join(settings.recipients)
        mail.set_content(alert.message)
        html = alert.data.get("html")
        if isinstance(html, str):
            mail.add_alternative(html, subtype="html")

        from allotrope.support.compat.smtp import BoundedSMTP

        with (
            contextlib.ExitStack() as ends,
            BoundedSMTP(
                settings.host or "", settings.port, timeout=settings.timeout_s, ends=ends
            ) as server,
        ):
            if settings.starttls:
                server.starttls()
            if settings.username and settings.password is not None:
                server.login(settings.username, settings.password.get_secret_value())
            server.send_message(mail)


class CommandNotifier:
    """Runs a program with the alert as JSON on its standard input.

    Args:
        settings: The program and its arguments.
    """

    def __init__(self, settings: NotifierSettings) -> None:
        self._settings = settings

    def notify(self, alert: Alert) -> None:
        """Delivers the alert."""
        import subprocess

        done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
            list(self._settings.command),
            input=json.dumps(alert.to_json(), default=str).encode(),
            timeout=self._settings.timeout_s,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self._settings.command[0]} ended with {done.returncode}")


def make_notifier(settings: NotifierSettings) -> Notifier:
    """The notifier of a kind."""
    if settings.kind == "webhook":
        return WebhookNotifier(settings)
    if settings.kind == "smtp":
        return SmtpNotifier(settings)
    if settings.kind == "command":
        return CommandNotifier(settings)
    return LogNotifier()


def deliver(alert: Alert, notifiers: Sequence[Notifier]) -> list[str]:
    """Gives an alert to every notifier, whatever the others do.

    Returns:
        What failed, a sentence each.
    """
    failed = []
    for notifier in notifiers:
        try:
            notifier.notify(alert)
        except Exception as exc:  # noqa: BLE001 - a broken notifier never breaks anything else
            failed.append(f"{type(notifier).__name__}: {type(exc).__name__}: {exc}")
            logger.warning("%s could not deliver %r: %s", type(notifier).__name__, alert.key, exc)
    return failed


class Dispatcher:
    """Delivers alerts in a thread of its own, so that a slow webhook delays nobody.

    Args:
        notifiers: Where to.
    """

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = notifiers
        self._queue: queue.SimpleQueue[Alert | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def send(self, alert: Alert) -> None:
        """Queues an alert."""
        self._queue.put(alert)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="allotrope-alerts", daemon=True
                )
                self._thread.start()

    def drain(self, timeout_s: float = 5.0) -> bool:
        """Waits until what is queued was delivered or failed."""
        if self._thread is None or not self._thread.is_alive():
            return True
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout_s)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                deliver(item, self._notifiers)
