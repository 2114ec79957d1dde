"""The command line in this process: what it prints and how it ends."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from allotrope.cli.app import main


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


RunCli = Callable[..., Ran]


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    simulator_environ: dict[str, str],
) -> RunCli:
    """Runs `allotrope …` against the simulator: `cli("ask", "assistant", "hi", stdin=b"…")`."""

    def run(*words: str, stdin: bytes = b"", **environ: str) -> Ran:
        for name, value in {**simulator_environ, **environ}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["allotrope", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
