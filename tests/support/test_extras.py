"""What a missing library says: a command that works where the package was installed from."""

import os
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from allotrope.support.extras import MODULES, install, lacking

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
DISTRIBUTIONS = {
    "jwt": "pyjwt",
    "jinja2": "jinja2",
    "bs4": "beautifulsoup4",
    "sklearn": "scikit-learn",
    "langgraph.checkpoint.postgres": "langgraph-checkpoint-postgres",
    "opentelemetry": "opentelemetry-sdk",
}
"""Distributions whose names aren't their modules'."""


@pytest.mark.parametrize("extra", MODULES)
def test_each_module_comes_with_its_extra(extra: str) -> None:
    brought = {Requirement(line).name for line in EXTRAS[extra]}
    for module in MODULES[extra]:
        assert DISTRIBUTIONS.get(module, module.replace("_", "-")) in brought


@pytest.mark.parametrize(
    ("record", "command"),
    [
        (None, "python -m pip install 'allotrope[web]'"),
        (
            '{"url": "file:///code/allotrope", "dir_info": {"editable": true}}',
            "python -m pip install -e '/code/allotrope[web]'",
        ),
        (
            '{"url": "file:///dist/allotrope-0.1.0-py3-none-any.whl", "archive_info": {}}',
            "python -m pip install 'allotrope[web] @ file:///dist/allotrope-0.1.0-py3-none-any.whl'",
        ),
        (
            '{"url": "https://example.org/a.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "python -m pip install 'allotrope[web] @ git+https://example.org/a.git@abc'",
        ),
    ],
)
def test_the_command_names_where_it_came_from(
    tmp_path: Path, record: str | None, command: str
) -> None:
    """The new process finds only a metadata folder as pip writes it."""
    info = tmp_path / "allotrope-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: allotrope\nVersion: 0.1.0\n")
    if record is not None:
        (info / "direct_url.json").write_text(record)
    code = "import sys; from allotrope.support.extras import install\n"
    code += f"sys.path[:] = [{str(tmp_path)!r}]; print(install('web'))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip().endswith(command)


def test_in_this_clone_the_command_is_one_that_pip_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert install("web").endswith(" -m pip install -e '.[web]'")


def test_a_module_of_no_extra_is_no_users_mistake() -> None:
    assert lacking(ModuleNotFoundError("x", name="allotrope.nowhere")) is None
    told = lacking(ModuleNotFoundError("x", name="pyarrow.parquet"), "Parquet")
    assert told is not None
    assert told.message == "Parquet needs pyarrow, which isn't installed."


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (("ask", "analyst", "Sum of n in n.csv"), "pandas"),
        (("bench", "quality", "--dataset", "d.jsonl"), "scipy"),
        (("serve", "--port", "0"), "uvicorn"),
    ],
)
def test_a_command_that_lacks_a_library_says_so_in_one_line(
    simulator_environ: dict[str, str], tmp_path: Path, words: tuple[str, ...], missing: str
) -> None:
    (tmp_path / "n.csv").write_text("n\n1\n")
    (tmp_path / "d.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['allotrope', *{words!r}];"
        "from allotrope.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=simulator_environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2, ended.stderr
    told = ended.stdout + ended.stderr
    assert "Traceback" not in told
    assert f"needs {missing}" in told
    assert "pip install -e" in told


def test_a_question_needs_no_extra(simulator_environ: dict[str, str], tmp_path: Path) -> None:
    """As on a new user's machine: no library of any extra is there, and the call is booked."""
    absent = sorted({module for modules in MODULES.values() for module in modules})
    run = "import sys; sys.modules.update(dict.fromkeys({}));" + (
        "sys.argv[0] = 'allotrope'; from allotrope.cli.app import main; main()"
    )

    def allotrope(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", run.format(absent), *words], cwd=tmp_path, text=True,
            env={**os.environ, **simulator_environ}, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    asked = allotrope("ask", "assistant", "Say hello")
    assert asked.returncode == 0, asked.stderr
    assert "Traceback" not in asked.stderr
    with closing(sqlite3.connect(tmp_path / "data" / "usage.db")) as ledger:
        assert ledger.execute("SELECT count(*) FROM calls").fetchone() == (1,)
