"""Locks on files; and that nothing is imported that Windows doesn't have."""

import subprocess
import sys
from pathlib import Path

import pytest

from allotrope.stores.locks import lock

WITHOUT = """
import sys
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None  # an import raises ImportError, as on Windows
import tempfile
import allotrope, allotrope.agents.batch, allotrope.agents.agent, allotrope.cli.batch
import allotrope.experiments.online.watch, allotrope.experiments.offline.results
import allotrope.experiments.online.aside, allotrope.usage.recorder.recorder
import allotrope.usage.recorder.spill, allotrope.stores.redis.client
from allotrope.stores.locks import lock
with tempfile.TemporaryFile() as file:
    lock(file)
"""


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("ab") as first, path.open("ab") as second:
        lock(first)
        with pytest.raises(BlockingIOError):
            lock(second, wait=False)
    with path.open("ab") as third:
        lock(third, wait=False)


def test_imports_do_without_what_windows_lacks() -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
