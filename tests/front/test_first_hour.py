"""What somebody meets in the first hour, with nothing set up."""

import json
import os
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from allotrope.testing import ProviderSimulator

ROOT = Path(__file__).resolve().parents[2]


def test_the_version(cli) -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    ran = cli("--version")
    assert (ran.code, ran.out.split()) == (0, ["allotrope", told])
    assert version("allotrope") == told


def test_the_help_has_the_exit_codes(cli) -> None:
    page = (ROOT / "docs" / "configure.md").read_text(encoding="utf-8")
    told = " ".join(cli("--help").out.split())
    for code in ("0", "1", "2", "3", "4", "130"):
        assert f"| {code} |" in page
        assert code in told.partition("Ends with")[2].replace(",", "").split()


@pytest.mark.parametrize("agent", ["analyst", "researcher"])
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_file_that_is_not_there_is_the_users_mistake(
    cli, simulator: ProviderSimulator, agent: str, as_json: bool
) -> None:
    ran = cli("ask", agent, "What is in /nowhere/sales.csv?", *(["--json"] if as_json else []))
    assert ran.code == 2
    assert "There is no file" in ran.out
    assert "unknown" not in ran.out + ran.err
    assert simulator.chats() == []
    if as_json:
        reply = json.loads(ran.out)
        assert (reply["provider"], reply["model"]) == ("none", "none")
    else:
        assert "No model was asked" in ran.err


def test_with_a_file_again_the_thread_goes_on(
    cli, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "notes.md").write_text("The tower is 330 metres tall.")
    words = ("ask", "researcher", f"How tall? {tmp_path}/notes.md", "--thread", "t")
    environ = {"ALLOTROPE_AGENTS__FILE_ROOTS": json.dumps([str(tmp_path)])}
    assert cli("ask", "researcher", f"How tall? {tmp_path}/no.md", "--thread", "t", **environ).code
    simulator.script(["How tall is the tower?", "330 metres [1]", "It is 330 metres tall [1]."])
    ran = cli(*words, **environ)
    assert ran.code == 0, ran.err
    assert "330 metres" in ran.out


def _ollama_is_here() -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", 11434)) == 0


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.skipif(_ollama_is_here(), reason="an Ollama runs on this machine")
def test_an_ollama_that_nobody_set_up_is_nobodys_outage(tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ALLOTROPE_DATA_DIR": str(tmp_path / "data"),
        "ALLOTROPE_REDIS__EMBEDDED": "false",
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys; sys.argv = ['allotrope', *{words!r}]\n"
        code += "from allotrope.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, text=True
        )

    for question in ("What is the capital of France?", "What is the capital of Italy?"):
        asked = run("ask", "assistant", question)
        assert asked.returncode == 0, asked.stderr
        assert "Ollama" not in asked.stderr
        assert "allotrope." not in asked.stderr, "no log lines among answers"
        assert "(embedded" in asked.stderr
    told = json.loads(run("report", "daily", "--json").stdout)
    assert json.dumps(told).count("llama3.1") == 0
