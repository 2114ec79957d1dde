"""`allotrope profiles`."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from allotrope.cli.operating.profiles import app
from allotrope.exceptions import ProfileError


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == code
    return json.loads(result.stdout)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALLOTROPE_PROFILES__FOLDER", str(tmp_path))
    assert run("list")["default"] == "balanced"
    assert run("list")["agents"]["analyst"] == "analytical"
    monkeypatch.setenv("ALLOTROPE_PROFILES__AGENTS", '{"analyst": "precise"}')
    assert run("list")["agents"]["analyst"] == "precise"
    monkeypatch.delenv("ALLOTROPE_PROFILES__AGENTS")
    shown = run("show", "creative")
    assert shown["profile"]["temperature"] == 1.0
    providers = [plan["provider"] for plan in shown["plans"]]
    assert providers == ["openai", "openai", "openai", "ollama", "embedded"]
    assert [plan["model"] for plan in shown["plans"]][:2] == ["o3", "gpt-6.1-sol"]
    assert run("check")["ok"] is True
    assert run("explain", "openai/o3-2025-04-16")["known_as"] == "o3"
    assert run("explain", "acme-9")["accepts"] == ["max_output_tokens"]
    assert run("explain", "llama3.1", "--provider", "ollama")["family"] == "ollama"
    (tmp_path / "odd.yaml").write_text("name: odd\ndescription: d\nstop: X\n", encoding="utf-8")
    refused = run("check", "odd", code=1)
    assert refused["plans"][0]["notes"][0]["outcome"] == "refused"
    (tmp_path / "odd.yaml").write_text("name: odd\n", encoding="utf-8")
    assert "description" in run("check", code=1)["problems"]["odd"]
    with pytest.raises(ProfileError, match="is no provider"):
        CliRunner().invoke(app, ["explain", "o3", "--provider", "x"], catch_exceptions=False)
