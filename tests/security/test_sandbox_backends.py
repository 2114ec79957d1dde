"""A container and a sandbox elsewhere run the same tasks, and are believed as little.

No engine runs in CI: the container's test has a real script named `docker` on PATH that runs the
command's program in new namespaces of this machine. What Docker itself does isn't tested here.
"""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from allotrope.exceptions import SettingsError, StoreError
from allotrope.graphs.work.sandbox.backends.container import ContainerBackend
from allotrope.graphs.work.sandbox.backends.remote import RemoteBackend
from allotrope.graphs.work.sandbox.choosing import backend_for, without_walls
from allotrope.graphs.work.sandbox.runner import CodeBackend, Limits, run_tests
from allotrope.settings.agents import AgentsSettings

LIMITS = Limits(wall_s=40, memory_mb=300)
FILES = {
    "add.py": "def add(a, b):\n    return a + b\n",
    "test_add.py": "from add import add\n\ndef test_add():\n    assert add(1, 2) == 3\n",
}
FORGED = {
    "test_add.py": "print('0' * 64 + ' {\"passed\": 42}')\nprint('42 passed')\n"
    "import os\nos._exit(0)\n"
}
SCRIPT = """#!/bin/sh
# What is after the image is run here, in namespaces where they can be made.
echo "$@" >> "$(dirname "$0")/said"
[ "$1" = run ] || exit 0
while [ "$1" != python3 ]; do shift; done
shift
work=$(mktemp -d)
cd "$work"
code=0
if unshare --net true 2>/dev/null; then
  unshare --net PYTHON "$@" || code=$?
else
  PYTHON "$@" || code=$?
fi
rm -rf "$work"
exit $code
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with a script named `docker`; it writes down what it was told."""
    script = tmp_path / "bin" / "docker"
    script.parent.mkdir()
    script.write_text(SCRIPT.replace("PYTHON", sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return script.parent


class Elsewhere:
    """A sandbox of deepagents' protocol, by a shell of this machine."""

    def execute(self, command: str, *, timeout: int | None = None) -> SimpleNamespace:
        done = subprocess.run(
            ["/bin/sh", "-c", command.replace("python3", sys.executable)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            text=True,
        )
        return SimpleNamespace(output=done.stdout, exit_code=done.returncode, truncated=False)

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[SimpleNamespace]:
        for path, content in files:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(content)
        return [SimpleNamespace(path=path, error=None) for path, _ in files]


@pytest.fixture(params=["container", "remote"])
def backend(request: pytest.FixtureRequest) -> CodeBackend:
    if request.param == "remote":
        return RemoteBackend(Elsewhere())
    request.getfixturevalue("engine")
    return ContainerBackend("docker", image="python:3.13-slim")


def test_tests_run_and_are_counted(backend: CodeBackend) -> None:
    outcome = run_tests(FILES, limits=LIMITS, backend=backend)
    assert (outcome.status, outcome.passed) == ("ok", 1), outcome.output
    assert '"passed"' not in outcome.output
    wrong = {**FILES, "add.py": FILES["add.py"].replace("+", "-")}
    outcome = run_tests(wrong, limits=LIMITS, backend=backend)
    assert (outcome.status, outcome.passed, outcome.failed) == ("failed", 0, 1)


def test_forged_reports_arent_believed(backend: CodeBackend) -> None:
    outcome = run_tests(FORGED, limits=LIMITS, backend=backend)
    assert (outcome.status, outcome.passed) == ("unfinished", 0)


def test_the_command_takes_everything_away(engine: Path) -> None:
    command = ContainerBackend("docker", image="i").command(
        Limits(memory_mb=256, disk_mb=8, processes=9), name="n"
    )
    line = " ".join(command[:-5])
    for part in (
        "run --rm --interactive --pull never --name n",
        "--network none --read-only --cap-drop ALL --ipc none",
        "--security-opt no-new-privileges --user 65534:65534",
        "--pids-limit 9",
        "--memory 256m --memory-swap 256m",
        "/tmp:rw,nosuid,nodev,size=8m",
    ):
        assert part in line
    assert "--privileged" not in line
    assert "--volume" not in line


def test_a_missing_engine_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StoreError, match="podman isn't installed"):
        backend_for(AgentsSettings(code_backend="podman")).isolation()


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker client here")
def test_an_engine_that_doesnt_run_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(StoreError, match="didn't start a container"):
        run_tests(FILES, limits=LIMITS, backend=ContainerBackend("docker", image="i"))


def test_settings_choose(caplog: pytest.LogCaptureFixture) -> None:
    assert not without_walls(AgentsSettings())
    assert without_walls(AgentsSettings(coder_isolation=False))
    words = "i-accept-that-code-can-read-my-files"
    assert without_walls(AgentsSettings(code_without_walls=words))
    with pytest.raises(SettingsError, match="can't be found"):
        backend_for(AgentsSettings(code_backend="nothing_like_this:make"))
