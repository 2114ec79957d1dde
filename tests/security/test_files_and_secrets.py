"""What we write is for its owner only, and no secret stands in what we print."""

import http.server
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from allotrope import build_agent, load_settings
from allotrope.exceptions import SettingsError
from allotrope.settings import Settings
from allotrope.settings.usage import NotifierSettings

MAIN = "from allotrope.cli.app import main; main()"


def test_nobody_else_can_read_what_is_kept(
    simulator_environ: dict[str, str], tmp_path: Path
) -> None:
    """In a folder that others may look into, under a umask that gives everybody a view."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    environ = {**os.environ, **simulator_environ, "ALLOTROPE_DATA_DIR": str(folder)}
    environ["ALLOTROPE_PROMPTS__DATABASE_URL"] = f"sqlite:///{folder / 'prompts.sqlite'}"
    for words in (["ask", "assistant", "Say hello"], ["models", "refresh"], ["prompts", "list"]):
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *words], cwd=tmp_path, env=environ, umask=0o022,
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"usage.db", "checkpoints.sqlite", "archive.sqlite", "prompts.sqlite"} <= {
        path.name for path in files
    }
    shared = {path.parent for path in files if path.parent == folder or _open(path.parent)}
    seen = [path for path in files if path.parent in shared and _open(path)]
    assert seen == []


def _open(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


URLS = {
    "OPENAI_BASE_URL": "http://me:hunter2@127.0.0.1:9/v1?api-key=hunter3&tag=a",
    "OLLAMA_HOST": "http://me:hunter2@127.0.0.1:9/?token=hunter3",
}


def test_doctor_prints_no_password(simulator_environ: dict[str, str], tmp_path: Path) -> None:
    for words in (["doctor"], ["doctor", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *words], cwd=tmp_path,
            env={**os.environ, **simulator_environ, **URLS},
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert "127.0.0.1:9" in done.stdout
        assert "hunter" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "environ",
    [
        {"ALLOTROPE_USAGE__NOTIFIERS": '[{"kind": "smtp", "password": "hunter2"}]'},
        {"ALLOTROPE_USAGE__NOTIFIERS": '[{"kind": "webhook", "url": "ftp://hunter2"}]'},
        {"ALLOTROPE_OPENAI": "sk-hunter2-sk-hunter2"},
        {"ALLOTROPE_OPENAI": '{"api_key": {"a": "hunter2"}}'},
        {"ALLOTROPE_USAGE": '[{"ledger_url": "hunter2"}]'},
        {"ALLOTROPE_OPENAI__BASE_URL": "ftp://me:hunter2@a"},
        {"ALLOTROPE_CHECKPOINT_URL": '["hunter2"]'},
    ],
    ids=str,
)
def test_an_error_in_the_settings_shows_no_secret(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ, env_file=None)
    assert "hunter2" not in str(caught.value)


class _Odd(http.server.BaseHTTPRequestHandler):
    """A server that speaks OpenAI's API and counts tokens in numbers that are none."""

    usage: ClassVar[str] = "null"
    received: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.received.append(given)
        head = '{"id":"c","created":1,"model":"o3","object":"chat.completion%s","choices":[%s]%s}'
        usage = f',"usage":{self.usage}'
        if given.get("stream"):
            part = (
                '{"index":0,"delta":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}'
            )
            first, last = head % (".chunk", part, ""), head % (".chunk", "", usage)
            body = f"data: {first}\n\ndata: {last}\n\ndata: [DONE]\n\n"
        else:
            message = '{"role":"assistant","content":"Hello."}'
            part = f'{{"index":0,"message":{message},"finish_reason":"stop"}}'
            body = head % ("", part, usage)
        self.send_response(200)
        kind = "text/event-stream" if given.get("stream") else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Stays silent."""


@pytest.fixture
def odd_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's, of the same
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-5", '"many"', "null", "1e400", "2.5"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_count_of_tokens_that_is_no_number_ends_no_turn(
    simulator_settings: Settings, odd_server: str, number: str, streamed: bool
) -> None:
    keys = ("prompt_tokens", "completion_tokens", "total_tokens")
    _Odd.usage = "{" + ",".join(f'"{key}":{number}' for key in keys) + "}"
    changed = simulator_settings.openai.model_copy(update={"base_url": odd_server})
    settings = simulator_settings.model_copy(update={"openai": changed})
    with build_agent("assistant", settings=settings) as agent:
        if streamed:
            replies = [event for event in agent.stream("Say hello") if event["type"] == "reply"]
            reply = replies[-1]
        else:
            reply = agent.ask("Say hello").as_dict()
    assert (reply["answer"], reply["provider"]) == ("Hello.", "openai")


def test_names_in_an_alert_call_nobody_in_slack(odd_server: str) -> None:
    """`<!channel>` in the name of an agent or a user is text, not a call to everybody."""
    from datetime import UTC, datetime

    from allotrope.usage.reports.notifiers import Alert, WebhookNotifier

    alert = Alert("k", "budget", "warning", "<!channel> & co", "<@U1> spent", datetime.now(UTC))
    WebhookNotifier(NotifierSettings.model_validate({"kind": "webhook", "url": odd_server})).notify(
        alert
    )
    sent = _Odd.received[-1]
    assert sent["text"] == "*&lt;!channel&gt; &amp; co*\n&lt;@U1&gt; spent"
    assert sent["alert"]["title"] == "<!channel> & co"
