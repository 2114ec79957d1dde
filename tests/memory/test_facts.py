"""Long-term facts: only by consent, listed, forgotten, and never another tenant's."""

import json
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from typer.testing import CliRunner

from allotrope.cli.app import app
from allotrope.exceptions import InputError
from allotrope.memory.opening import open_facts, open_memory
from allotrope.settings import load_settings

TOLD = [HumanMessage("My name is Wilhelmina and I live in Utrecht.", id="1")]


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    memory = open_memory(load_settings(environ={}, env_file=None, data_dir=tmp_path))
    try:
        memory.learn(TOLD, user="w")
        assert memory.about("w") == ()
    finally:
        memory.close()
    assert not (tmp_path / "facts.sqlite").exists()


def test_facts_stay_with_their_tenant_and_user_and_can_be_forgotten(tmp_path: Path) -> None:
    settings = load_settings(
        environ={}, env_file=None, data_dir=tmp_path, memory={"facts": True, "summary": "off"}
    )
    memory = open_memory(settings)
    try:
        memory.learn(TOLD, user="w", tenant="acme")
        assert any("Utrecht" in fact for fact in memory.about("w", tenant="acme"))
        assert memory.about("w", tenant="other") == ()
        assert memory.about("v", tenant="acme") == ()
        assert memory.about(None, tenant="acme") == ()
    finally:
        memory.close()
    facts = open_facts(settings)
    try:
        with pytest.raises(InputError, match="There is no fact"):
            facts.forget("none", tenant="acme", user="w")
        facts.forget("all", tenant="other", user="w")
        assert facts.known(tenant="acme", user="w")
        facts.forget("all", tenant="acme", user="w")
        assert facts.known(tenant="acme", user="w") == {}
    finally:
        facts.close()


def test_commands_list_and_forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOTROPE_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    facts = open_facts(load_settings(environ={}, env_file=None, data_dir=tmp_path))
    facts.remember("I live in Utrecht.", tenant="default", user="w")
    facts.close()

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["memory", *words, "--user", "w"])
        assert result.exit_code == 0
        return result.output

    exported = json.loads(run("export"))
    known = json.loads(run("list", "--json"))["facts"]
    assert exported == {"user": "w", "key": next(iter(known)), "fact": "I live in Utrecht."}
    assert run("export", "--tenant", "acme") == ""
    both = CliRunner().invoke(app, ["memory", "export", "t", "--user", "w"])
    assert isinstance(both.exception, InputError)
    assert isinstance(CliRunner().invoke(app, ["memory", "export"]).exception, InputError)
    assert list(known.values()) == ["I live in Utrecht."]
    assert "Nothing is kept" in run("list", "--tenant", "acme")
    assert run("forget", next(iter(known))) == "Forgotten.\n"
    assert "Nothing is kept" in run("list")


def test_forgetting_all_leaves_none_of_many(tmp_path: Path) -> None:
    facts = open_facts(load_settings(environ={}, env_file=None, data_dir=tmp_path))
    try:
        for number in range(230):
            facts.remember(f"I own boat {number}.", tenant="acme", user="w")
        facts.forget("all", tenant="acme", user="w")
        assert facts.known(tenant="acme", user="w") == {}
    finally:
        facts.close()
