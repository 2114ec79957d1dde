"""Two tenants, one thread id: nothing of one is ever seen by the other."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from allotrope import build_agent
from allotrope.cli.app import app
from allotrope.memory.checkpoints.threads import thread_key
from allotrope.models.cache.admin import CacheAdmin
from allotrope.models.cache.factory import open_answers
from allotrope.operations.deletion import delete_thread
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator

ACME, OTHER = {"tenant": "acme"}, {"tenant": "other"}


def _said(simulator: ProviderSimulator) -> str:
    return json.dumps([request.body for request in simulator.requests])


def test_the_same_thread_id_is_two_threads(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    with build_agent(settings=simulator_settings) as agent:
        first = agent.ask("Our secret word is marzipan.", thread_id="t", context=ACME)
        assert first.thread_id == "t"
        simulator.reset()
        agent.ask("What is the secret word?", thread_id="t", context=OTHER)
        assert "marzipan" not in _said(simulator)
        agent.ask("What is the secret word?", thread_id="t")
        assert "marzipan" not in _said(simulator)
        agent.ask("And what is the secret word?", thread_id="t", context=ACME)
        assert "marzipan" in _said(simulator)
        said = {
            name: [m.text for m in agent.history("t", context=context)]
            for name, context in (("acme", ACME), ("other", OTHER), ("default", None))
        }
    assert [len(texts) for texts in said.values()] == [4, 2, 2]
    assert not any("marzipan" in text for text in said["other"] + said["default"])


async def test_the_same_async(simulator_settings: Settings, simulator: ProviderSimulator) -> None:
    async with build_agent(settings=simulator_settings) as agent:
        await agent.aask("Our secret word is marzipan.", thread_id="t", context=ACME)
        async for _ in agent.astream("What is it?", thread_id="t", context=OTHER):
            pass
        graph = await agent.agraph()
        found = await graph.aget_state(agent.thread_config("t", context=OTHER))
    assert len(found.values["messages"]) == 2


def test_an_unanswered_question_waits_for_its_own_tenant(simulator_settings: Settings) -> None:
    from allotrope.exceptions import InputError

    with build_agent(settings=simulator_settings) as agent:
        agent.ask("Hello.", thread_id="t", context=ACME)
        with pytest.raises(InputError, match="Nothing in the thread"):
            agent.resume("t", context=OTHER)


def test_no_two_tenants_and_threads_share_a_key() -> None:
    pairs = [("default", "a:b"), ("a", "b"), ("a:b", "c"), ("a", "b:c"), ("a/b", "c"), ("", "a")]
    assert len({thread_key(*pair) for pair in pairs}) == len(pairs)
    assert thread_key("default", "t") == "t"


def test_deleting_one_leaves_the_other(
    simulator_settings: Settings, simulator: ProviderSimulator
) -> None:
    with build_agent(settings=simulator_settings) as agent:
        agent.ask("Our secret word is marzipan.", thread_id="t", context=ACME)
        agent.ask("Our secret word is nougat.", thread_id="t", context=OTHER)
    gone = delete_thread(simulator_settings, "t", tenant="acme")
    assert (gone.messages, gone.checkpoints, gone.answers) == (2, True, 1)
    answers = open_answers(simulator_settings)
    try:
        left = {entry.tenant for entry in CacheAdmin(answers).listed()}
    finally:
        answers.close()
    assert left == {"other"}
    with build_agent(settings=simulator_settings) as agent:
        assert agent.history("t", context=ACME) == []
        assert len(agent.history("t", context=OTHER)) == 2
    assert not delete_thread(simulator_settings, "t", tenant="acme")


def test_commands_see_only_the_named_tenant(
    simulator_environ: dict[str, str],
    simulator_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with build_agent(settings=simulator_settings) as agent:
        agent.ask("Our secret word is marzipan.", thread_id="t", context=ACME)
        agent.ask("Our secret word is nougat.", thread_id="t")
    for name, value in simulator_environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(words))
        return result.exit_code, result.output

    code, text = run("context", "t", "--tenant", "acme", "--search", "secret", "--json")
    shown = json.loads(text)
    assert (code, shown["live_messages"], shown["archived_messages"]) == (0, 2, 2)
    assert shown["search"]
    assert all("marzipan" in hit["text"] for hit in shown["search"])
    assert shown["audit"]["tokens"] <= shown["audit"]["budget"]
    assert "left_out" not in shown["audit"]
    code, text = run("context", "t", "--explain")
    assert code == 0
    assert "Left out of the last prompt: 0 messages" in text
    code, text = run("memory", "export", "t", "--tenant", "acme")
    assert "marzipan" in json.loads(text.splitlines()[0])["data"]["content"]
    assert run("memory", "delete", "t", "--tenant", "acme", "--yes")[0] == 0
    assert run("context", "t", "--tenant", "acme")[0] != 0
    code, text = run("context", "t", "--json")
    assert (code, json.loads(text)["live_messages"]) == (0, 2)


def test_a_thread_with_checkpoints_only_is_shown_and_deleted(
    simulator_environ: dict[str, str],
    simulator_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with build_agent(settings=simulator_settings) as agent:
        agent.ask("Hello.", thread_id="t")
    for file in (tmp_path / "data").glob("archive.sqlite*"):
        file.unlink()
    for name, value in simulator_environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["context", "t", "--json", "--search", "hello"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.output)
    assert (found["archived_messages"], found["live_messages"], found["search"]) == (0, 2, [])
    assert found["audit"]["budget"] > 0
    assert CliRunner().invoke(app, ["context", "t"]).exit_code == 0
    assert CliRunner().invoke(app, ["memory", "delete", "t", "--yes"]).exit_code == 0
    assert CliRunner().invoke(app, ["context", "t"]).exit_code != 0
