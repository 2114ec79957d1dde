"""`allotrope dashboard` as docs/dashboard.md tells it."""

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest

from allotrope.support.extras import install

COMMAND = (sys.executable, "-c", "from allotrope.cli import main; main()", "dashboard")


def test_it_serves_until_it_is_told_to_stop(simulator_environ: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0"],
        env={**os.environ, **simulator_environ},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline().strip()
        assert said.startswith("Dashboard http://127.0.0.1:")
        address, _, token = said.removeprefix("Dashboard ").partition("?token=")
        base = address.removesuffix("/dashboard")
        assert httpx.get(f"{base}/healthz").json() == {"status": "ok"}
        assert httpx.get(address).status_code == 401
        with httpx.Client(timeout=60) as browser:
            assert "set-cookie" in browser.get(f"{address}?token={token}").headers
            assert "Nothing has been recorded yet" in browser.get(address).text
        bearer = {"authorization": f"Bearer {token}"}
        metrics = httpx.get(f"{base}/metrics", headers=bearer, timeout=30)
        assert "allotrope_ledger_up 1" in metrics.text
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        process.stdout.close()
    assert code == 0


def run(environ: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *words],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_others_may_not_look_without_a_token(simulator_environ: dict[str, str]) -> None:
    ended = run(simulator_environ, "--host", "0.0.0.0", "--port", "0")
    assert ended.returncode != 0
    assert "no token is set" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_said(simulator_environ: dict[str, str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run(simulator_environ, "--port", str(taken.getsockname()[1]))
    assert ended.returncode != 0
    assert "Choose another --port" in ended.stderr


def test_grafanas_dashboard_is_printed(simulator_environ: dict[str, str]) -> None:
    assert json.loads(run(simulator_environ, "--grafana").stdout)["title"] == "Allotrope"


@pytest.mark.parametrize(
    ("command", "missing"),
    [("dashboard", "starlette"), ("dashboard", "uvicorn"), ("serve", "jinja2")],
)
def test_without_the_extra_it_says_what_to_install(
    simulator_environ: dict[str, str], command: str, missing: str
) -> None:
    code = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv = ['allotrope', '{command}'];"
        "from allotrope.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **simulator_environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode != 0
    assert f"needs {missing}, which isn't installed" in ended.stderr
    assert install("web") in ended.stderr
    assert "Traceback" not in ended.stderr
