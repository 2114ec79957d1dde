"""What docs/testing.md shows runs as written; the plugin and the module start."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_code_of_the_page_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, str(PAGE), "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"print\(.*#\s*(.+)$", code, re.MULTILINE)
    assert len(printed) == len(promised)
    for said, shown in zip(promised, printed, strict=True):
        assert said == shown or said.startswith("the call of")


def test_plugin(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["allotrope.testing.plugin"]')
    (tmp_path / "test_users.py").write_text(
        "import httpx\n"
        "def test_one(provider_simulator):\n"
        "    provider_simulator.faults.add(503)\n"
        "    url = provider_simulator.openai_url + '/models'\n"
        "    assert httpx.get(url).status_code == 503\n"
        "def test_two(provider_simulator):\n"
        "    assert provider_simulator.requests == []\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "2 passed" in done.stdout, done.stdout


def test_module_serves_until_its_parent_leaves() -> None:
    command = [sys.executable, "-m", "allotrope.testing", "--until-stdin-closes", "--fault", "503"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        url = lines[1].strip().removeprefix("export OPENAI_BASE_URL=")
        assert httpx.get(url + "/models").status_code == 503
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=10) == 0
