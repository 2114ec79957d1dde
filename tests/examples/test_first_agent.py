"""docs/first-agent.md as a stranger walks it: each command runs, and the new agent passes CI."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "first-agent.md"
LONGEST = "a_very_long_name_" + "x" * 13


def copied(folder: Path) -> Path:
    """A copy of the tracked and new files, as a fresh clone has them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    present = b"\0".join(
        name for name in listed.split(b"\0") if name and os.path.lexists(ROOT / name.decode())
    )
    folder.mkdir()
    subprocess.run(
        ["tar", "--null", "-T", "-", "-cf", f"{folder}.tar"], cwd=ROOT, check=True, input=present
    )
    subprocess.run(["tar", "-xf", f"{folder}.tar", "-C", str(folder)], check=True)
    return folder


def walk() -> list[str]:
    """The commands of docs/first-agent.md, top to bottom."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def look_at_the_chat_page(
    words: list[str], clone: Path, environ: dict[str, str], agents: list[str]
) -> None:
    """Starts the server, does what the chat page does, and ends it with Ctrl-C."""
    process = subprocess.Popen(words, cwd=clone, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = re.search(r"Chat page (http://[^\s?]+)/(\?token=\S+)", process.stdout.readline())
        assert said, "it prints where the chat page is"
        with httpx.Client(base_url=said[1], timeout=120) as client:
            client.get(f"/{said[2]}")  # logs in, as opening the printed address does
            page = client.get("/").text
            for linked in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
                assert client.get(linked).status_code == 200
            for agent in agents:
                assert f'<option value="{agent}"' in page
                asked = {"agent": agent, "text": f"Anybody there, {agent}?"}
                last = client.post("/api/turns", json=asked).text.splitlines()[-1]
                assert json.loads(last)["answer"] == "A short answer."
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_first_ten_minutes(
    tmp_path: Path, simulator_environ: dict[str, str], simulator
) -> None:
    clone = copied(tmp_path / "clone")
    python = Path(sys.executable)
    environ = {
        **os.environ,
        **simulator_environ,
        "PYTHONPATH": str(clone / "src"),
    }
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a dozen processes would compile it all anew
    simulator.answer_with(lambda request: "A short answer.")
    bins = tmp_path / "bin"
    bins.mkdir()
    (bins / "allotrope").write_text(
        f"#!/bin/sh\nexec {python} -c 'from allotrope.cli import main; main()' \"$@\"\n"
    )
    (bins / "allotrope").chmod(0o755)
    environ["PATH"] = f"{bins}:{python.parent}:{environ['PATH']}"

    def run(command: str, stdin: str = "") -> str:
        ran = subprocess.run(
            ["sh", "-ec", command],
            cwd=clone,
            env=environ,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=150,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout[-2000:]}\n{ran.stderr[-3000:]}"
        return ran.stdout

    done = []
    for command in walk():
        words = shlex.split(command, comments=True)
        match words:
            case ["git", "clone", *_] | ["cd", *_] | ["." | "source", *_]:
                continue  # the copy is the clone, this Python its environment
            case ["make", "run" | "test" | "studio" | "lint" as target, *rest]:
                dry = ["make", "-n", target, *rest]
                subprocess.run(dry, cwd=clone, check=True, capture_output=True)
                if target == "run" and not rest:
                    assert run('allotrope ask assistant "Which is it?" --stream').strip()
            case ["allotrope", "serve", *_]:
                agents = ["haiku", "assistant"] if "new" in done else ["assistant"]
                look_at_the_chat_page([*words, "--port", "0"], clone, environ, agents)
            case ["allotrope", "chat", *_]:
                assert "A short answer." in run(command, stdin="Hello?\n")
            case _:
                run(command)
        done += words[:2]
    assert {"make", "serve", "new", "pytest"} <= set(done)
    assert done.count("serve") == 2
    assert "MOST_WORDS = 17" in (clone / "graphs" / "haiku.py").read_text()
    assert "at most 17 words" in (clone / "prompts" / "templates" / "haiku@2.md").read_text()
    run(f'allotrope new agent {LONGEST} --summary "{"long " * 15}end"')
    run("ruff format --check . && ruff check .")
    known = ROOT / ".mypy_cache"
    if known.is_dir():  # what `make lint` has found out about all the rest
        shutil.copytree(known, clone / ".mypy_cache")
    run("mypy")
    # the script that is installed puts its own folder first on the path, which is the clone here
    run("lint-imports --no-logo --no-cache")
    run("pytest -q -p no:cacheprovider tests/agents/test_pictures.py tests/agents/test_haiku.py")
