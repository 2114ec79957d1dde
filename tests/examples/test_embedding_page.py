"""The code of docs/embedding.md runs, and its list of public names is the package's."""

import re
from pathlib import Path

import pytest

import allotrope
from allotrope.testing import ProviderSimulator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "embedding.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_code_of_the_page_runs(
    code: str,
    simulator: ProviderSimulator,
    simulator_environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name, value in simulator_environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    assert "openai" in capsys.readouterr().out or simulator.requests


def test_every_public_name_is_on_the_page() -> None:
    rows = re.findall(r"^\| (`allotrope\.[^|]+) \|", TEXT, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`allotrope\.(\w+)`", row)}
    assert listed == set(allotrope.__all__)
    for name in allotrope.__all__:
        assert getattr(allotrope, name) is not None


def test_every_example_is_named_on_the_page() -> None:
    examples = {path.name for path in (PAGE.parents[1] / "examples").glob("*.py")}
    assert set(re.findall(r"examples/(\w+\.py)", TEXT)) >= examples - {"middleware.py"}
