"""A cloned folder's `.env` doesn't decide where keys go or which code runs, until it is trusted."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from allotrope.exceptions import SettingsError
from allotrope.settings import Settings, load_settings
from allotrope.settings.env_file import (
    HARMLESS_TEXT,
    EnvLine,
    read_env_file,
    set_trust,
    trust_file,
)
from allotrope.settings.root import guarded_lines


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cloned folder that somebody works in, and a configuration folder of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    cloned = tmp_path / "cloned"
    cloned.mkdir()
    monkeypatch.chdir(cloned)
    return cloned


def write(folder: Path, *lines: str) -> Path:
    file = folder / ".env"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


GUARDED = [
    "OPENAI_BASE_URL=http://127.0.0.1:9/v1",
    "ALLOTROPE_OPENAI__BASE_URL=http://127.0.0.1:9/v1",
    'ALLOTROPE_OPENAI={"base_url": "http://127.0.0.1:9/v1"}',
    "OLLAMA_HOST=127.0.0.1:9",
    "REDIS_URL=redis://127.0.0.1:9",
    "ALLOTROPE_USAGE__LEDGER_URL=postgresql://127.0.0.1:9/x",
    'ALLOTROPE_USAGE__NOTIFIERS=[{"kind": "command", "command": ["sh", "-c", "id"]}]',
    'ALLOTROPE_USAGE={"notifiers": [{"kind": "command", "command": ["id"]}]}',
    'ALLOTROPE_CALLBACKS=["evil:handler"]',
    "ALLOTROPE_CACHE__FACTORY=evil:cache",
    "ALLOTROPE_MEMORY__EMBEDDINGS=huggingface:./evil",
    "ALLOTROPE_DATA_DIR=data",
    "ALLOTROPE_AGENTS__CODER_APPROVAL=false",
    "ALLOTROPE_AGENTS__CODER_ISOLATION=false",
    "ALLOTROPE_AGENTS__NAMED_ONLY=false",
    'ALLOTROPE_AGENTS__FILE_ROOTS=["/"]',
    "ALLOTROPE_SERVE__HOST=0.0.0.0",
    "ALLOTROPE_SERVE__TOKEN=known-to-everybody",
    "ALLOTROPE_TENANT_FILE=/etc/hostname",
    "OPENAI_API_KEY_FILE=/etc/hostname",
]


@pytest.mark.parametrize("line", GUARDED)
def test_what_sends_keys_or_runs_code_is_refused_with_file_and_line(
    folder: Path, line: str
) -> None:
    file = write(folder, "# a nice project", "ALLOTROPE_OPENAI__MODEL=o3", line)
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={"OPENAI_API_KEY": "sk-of-the-environment"})
    told = str(caught.value)
    assert f"{file}, line 3 ({line.split('=')[0]})" in told
    assert "allotrope trust" in told


HARMLESS = [
    "OPENAI_API_KEY=sk-own",
    "ALLOTROPE_OPENAI__MODEL=o4-mini",
    "ALLOTROPE_LOG__LEVEL=INFO",
    "ALLOTROPE_CACHE__TTL_S=60",
    'ALLOTROPE_OPENAI={"model": "o4-mini", "timeout_s": 20}',
    'ALLOTROPE_USAGE__BUDGETS=[{"name": "all", "usd": "5"}]',
    'ALLOTROPE_PROFILES__AGENTS={"analyst": "precise"}',
    "ALLOTROPE_AGENTS__CODE_TIMEOUT_S=5",
    "UNRELATED_URL=http://127.0.0.1:9",
]


@pytest.mark.parametrize("line", HARMLESS)
def test_the_rest_may_stand_in_any_folder(folder: Path, line: str) -> None:
    write(folder, line)
    load_settings(environ={})


def test_every_setting_of_text_is_guarded_unless_listed() -> None:
    """A setting added tomorrow that names an address, a file or code is guarded by itself."""
    texts = []

    def look(model: type[BaseModel], *path: str) -> None:
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                look(kind, *path, name)
            elif any(
                word in re.sub("'.*?'", "", str(kind))
                for word in ("str", "Path", "Secret", "Settings")
            ):
                texts.append((*path, name))

    look(Settings)
    assert len(texts) > 30
    free = {
        path
        for path in texts
        if not guarded_lines([EnvLine("ALLOTROPE_" + "__".join(path).upper(), "x", 1)])
    }
    assert free == {path for path in HARMLESS_TEXT if path in texts}


def test_trust_is_given_to_the_file_as_it_stands(folder: Path) -> None:
    file = write(folder, "OPENAI_BASE_URL=http://127.0.0.1:9/v1")
    assert set_trust(read_env_file(file), trusted=True)
    assert load_settings(environ={}).openai.base_url == "http://127.0.0.1:9/v1"
    assert trust_file().stat().st_mode & 0o077 == 0
    write(folder, "OPENAI_BASE_URL=http://127.0.0.1:10/v1")  # a pull brought another address
    with pytest.raises(SettingsError, match=r"line 1 \(OPENAI_BASE_URL\)"):
        load_settings(environ={})
    assert set_trust(read_env_file(file), trusted=True)
    assert set_trust(read_env_file(file), trusted=False)
    with pytest.raises(SettingsError):
        load_settings(environ={})


def test_an_untrusted_file_reads_no_variables(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`${NAME}` would send another program's secret as the name of a model."""
    monkeypatch.setenv("ANOTHER_SECRET", "hunter2")
    file = write(folder, "ALLOTROPE_OPENAI__MODEL=${ANOTHER_SECRET}")
    assert load_settings(environ={}).openai.model == "${ANOTHER_SECRET}"
    set_trust(read_env_file(file), trusted=True)
    assert load_settings(environ={}).openai.model == "hunter2"


def test_a_file_that_code_names_is_taken_whole(folder: Path) -> None:
    file = write(folder, "OPENAI_BASE_URL=http://127.0.0.1:9/v1")
    assert load_settings(environ={}, env_file=file.absolute()).openai.base_url is not None


def test_a_damaged_list_of_trusted_files_trusts_nothing(folder: Path) -> None:
    write(folder, "OPENAI_BASE_URL=http://127.0.0.1:9/v1")
    trust_file().parent.mkdir(parents=True)
    trust_file().write_text("{", encoding="utf-8")
    with pytest.raises(SettingsError, match="allotrope trust"):
        load_settings(environ={})


def test_the_command(folder: Path) -> None:
    write(folder, "ALLOTROPE_LOG__LEVEL=ERROR", "OPENAI_BASE_URL=http://127.0.0.1:9/v1")

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "allotrope.cli.app", *words]
        if words[0] != "-c":
            command = [sys.executable, "-c", "from allotrope.cli.app import main; main()", *words]
        return subprocess.run(
            command, cwd=folder, env={**os.environ, "OPENAI_API_KEY": "sk-environment"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    refused = run("profiles", "list")
    assert refused.returncode == 2, refused
    assert "line 2 (OPENAI_BASE_URL)" in refused.stderr
    assert "Traceback" not in refused.stderr
    told = run("trust")
    assert (told.returncode, told.stdout.splitlines()[-1]) == (0, "  line 2: OPENAI_BASE_URL")
    assert run("profiles", "list").returncode == 0
    listed = json.loads(run("trust", "--list", "--json").stdout)["trusted"]
    assert listed == [{"file": str(folder / ".env"), "unchanged": True}]
    assert run("trust", "--revoke").returncode == 0
    assert run("profiles", "list").returncode == 2
    missing = run("trust", "nowhere")
    assert (missing.returncode, "isn't there" in missing.stderr) == (2, True)
