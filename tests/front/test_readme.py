"""The README's commands run as written, and its links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

COMMANDS = [
    line
    for block in re.findall(r"```\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith(".venv/bin/")
]


def test_the_first_screen_has_two_commands() -> None:
    first = README.split("## What it is")[0]
    assert "make run " in first
    assert "make test " in first


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    broken = []
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in link and not (page.parent / link).exists():
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


def test_a_follow_up_is_in_the_thread_of_its_question() -> None:
    asked = [shlex.split(line)[2:] for line in COMMANDS if " ask " in line]
    assert len(asked) == 2
    assert all(words[words.index("--thread") + 1] == "trip" for words in asked)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_runs(command: str, simulator_environ: dict[str, str]) -> None:
    program, *words = shlex.split(command)
    tool = Path(sys.executable).parent / Path(program).name
    ran = subprocess.run(
        [str(tool), *words], env=simulator_environ, capture_output=True, text=True, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()


def test_the_code_block_runs(
    simulator_environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in simulator_environ.items():
        monkeypatch.setenv(name, value)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert "openai o3" in capsys.readouterr().out
