"""`allotrope new agent`: refused names, nothing half written, and packages of their own.

That a scaffold in a clone passes CI is shown in tests/examples/test_first_agent.py.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from allotrope.agents import registry
from allotrope.exceptions import AllotropeError, InputError
from allotrope.operations import scaffold

ROOT = Path(__file__).resolve().parents[2]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a clone as a scaffold touches."""
    folder = tmp_path / "clone"
    for name in ("agents/registry.py", "langgraph.json", "pyproject.toml", "docs/agents.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "prompts" / "templates").mkdir(parents=True)
    for path in (ROOT / "prompts" / "templates").iterdir():
        (folder / "prompts" / "templates" / path.name).write_bytes(path.read_bytes())
    for name in ("graphs", "tests/agents"):
        (folder / name).mkdir(parents=True)
    (folder / "graphs" / "window.py").write_text("")
    return folder


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("assistant", "There is an agent 'assistant' already"),
        ("class", "a word of Python"),
        ("match", "a word of Python"),
        ("memory", "a folder of the project"),
        ("window", "exists already"),
        ("summariser", "a prompt 'summariser' already"),
        ("My-Agent", "can't be an agent's name"),
        ("../up", "can't be an agent's name"),
        ("1st", "can't be an agent's name"),
        ("x" * 31, "can't be an agent's name"),
        ("", "can't be an agent's name"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(clone: Path, name: str, says: str) -> None:
    before = tree(clone)
    with pytest.raises(InputError, match=re.escape(says)):
        scaffold.write(scaffold.plan(name, where=clone))
    assert tree(clone) == before


@pytest.mark.parametrize("summary", ["x" * 81, 'says "hi"', "two\nlines", "back\\slash"])
def test_a_summary_that_breaks_files_is_refused(clone: Path, summary: str) -> None:
    with pytest.raises(InputError, match="The summary"):
        scaffold.plan("fresh", summary=summary, where=clone)


def test_when_a_file_cannot_be_written_all_is_as_before(clone: Path) -> None:
    planned = scaffold.plan("fresh", where=clone)
    before = tree(clone)
    # the last file of the plan turns into a folder: new files and earlier changes are there by then
    last = clone / list(planned.changed)[-1]
    content = last.read_bytes()
    last.unlink()
    last.mkdir()
    with pytest.raises(AllotropeError, match=r"can't be written.*Nothing was changed"):
        scaffold.write(planned)
    last.rmdir()
    last.write_bytes(content)
    assert tree(clone) == before


def test_the_command_tells_what_it_did(cli, clone: Path, monkeypatch) -> None:
    monkeypatch.chdir(clone / "graphs")
    ran = cli("new", "agent", "fresh", "--summary", "Says hello", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert told["in_clone"]
    assert all((clone / name).exists() for name in [*told["created"], *told["changed"]])
    again = cli("new", "agent", "fresh")
    assert again.code == 2
    assert "exists already" in again.err or "already" in again.err


@pytest.mark.slow
def test_an_own_package_is_found_by_its_entry_points(
    tmp_path: Path, simulator_environ: dict[str, str]
) -> None:
    environ = {**os.environ, **simulator_environ}
    new = [sys.executable, "-c", "from allotrope.cli import main; main()"]
    subprocess.run([*new, "new", "agent", "shop_help"], cwd=tmp_path, env=environ, check=True)
    package = tmp_path / "shop_help_agent"
    site = tmp_path / "site"
    build = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=package, check=True, capture_output=True
    )
    wheel = next(tmp_path.glob("*.whl"))
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    environ["PYTHONPATH"] = str(site)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert "3 passed" in run.stdout, run.stdout + run.stderr


def test_a_broken_package_is_told_of_and_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "bad-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[allotrope.agents]\nbroken = nowhere:SPEC\nother = json:dumps\nassistant = nowhere:SPEC\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry._installed.cache_clear()
    try:
        assert registry.names()[-2:] == ("broken", "other")
        with pytest.raises(AllotropeError, match=r"'broken' of the package bad can't be loaded"):
            registry.find("broken")
        with pytest.raises(AllotropeError, match="isn't its AgentSpec"):
            registry.find("other")
        assert registry.find("assistant").graph.startswith("allotrope.")
    finally:
        registry._installed.cache_clear()
