"""`allotrope cache …` as a user runs it, after real turns of real agents."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from allotrope.agents import registry
from allotrope.agents.agent import Agent
from allotrope.cli.app import app
from allotrope.cli.operating import cache as cache_cli
from allotrope.exceptions import SettingsError
from allotrope.models.cache.factory import open_verifier
from allotrope.models.catalogue.roles import models_by_role
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator, Reply, ToolCall

MakeAgent = Callable[[str], Agent]


@pytest.fixture
def agent(
    simulator_settings: Settings,
    simulator_environ: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeAgent]:
    """Makes agents; the commands see the same settings in their environment."""
    monkeypatch.chdir(tmp_path)
    for name, value in simulator_environ.items():
        monkeypatch.setenv(name, value)
    made: list[Agent] = []

    def make(name: str) -> Agent:
        made.append(Agent(registry.find(name), simulator_settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def run(*arguments: str) -> Any:
    """What a command prints with --json."""
    result = CliRunner().invoke(app, ["cache", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["cache", *arguments])
    assert result.exit_code != 0
    return result.output + str(result.exception)


def docs() -> list[str]:
    """The source documents of all answers."""
    tags = {tag for entry in run("show")["entries"] for tag in entry["tags"]}
    return sorted(tag.removeprefix("doc=") for tag in tags if tag.startswith("doc="))


def test_stats_show_report_wrong_and_clear_after_turns(
    agent: MakeAgent, simulator: ProviderSimulator
) -> None:
    assistant = agent("assistant")
    simulator.script(["Blue.", "Blue indeed."])
    assert assistant.ask("Which colour has the sky?").cached is None
    wrong = assistant.ask("Which colour has the sky?")
    assert (wrong.answer, wrong.cached) == ("Blue.", "exact")
    (part,) = run("stats")["partitions"]
    assert (part["agent"], part["entries"], part["hits"]["exact"]) == ("assistant", 1, 1)
    assert part["hit_rate"] == 0.5
    assert float(part["saved_usd"]) >= 0
    (entry,) = run("show")["entries"]
    shown = run("show", entry["key"][:8])
    assert (shown["answer"], shown["model"]) == ("Blue.", "o3")
    assert run("report-wrong", wrong.run_id)["removed"] == ["exact"]
    assert "No cached answer is known" in refused("report-wrong", "nobody")
    assert assistant.ask("Which colour has the sky?").cached is None
    assert run("stats")["partitions"][0]["false_hits"]["exact"] == 1
    assert run("clear")["removed"] > 0
    assert run("stats")["partitions"] == []


def test_what_was_saved_counts_cached_input_once_at_the_users_own_prices() -> None:
    settings = load_settings(
        environ={}, env_file=None,
        usage={"prices": [{"model": "o3", "input": 10, "output": 0, "cached_input": 4}]},
    )  # fmt: skip
    saved = {"o3": {"input_tokens": 1_000_000, "cached_input_tokens": 250_000, "output_tokens": 5}}
    # cached input is a part of the input: 750,000 at 10 USD a million, 250,000 at 4
    assert cache_cli.saved_tokens(saved) == 1_000_005
    assert cache_cli.saved_usd(saved, settings) == "8.5000"
    plain = load_settings(environ={}, env_file=None)
    assert cache_cli.saved_usd({"o3": {"output_tokens": 1_000_000}}, plain) == "8.0000"
    assert cache_cli.saved_usd({"nobody-knows": {"output_tokens": 1}}, plain) is None
    local = {plain.ollama.model: {"output_tokens": 1}, "o3": {"output_tokens": 1_000_000}}
    assert cache_cli.saved_usd(local, plain) == "8.0000"


def test_what_the_assistant_read_goes_with_its_document(
    agent: MakeAgent, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "rules.txt").write_text("Smoking is forbidden.")
    assistant = agent("assistant")

    def ask() -> str | None:
        called = Reply(tool_calls=(ToolCall("read", {"source": "rules.txt"}),))
        simulator.script([called, "No smoking."])
        return assistant.ask("What does rules.txt forbid?").cached

    ask()
    assert docs() == ["rules.txt"]
    assert run("invalidate", "--doc", "other.txt") == {"removed": 0}
    simulator.reset()
    assert ask() == "exact"
    assert run("invalidate", "--doc", "rules.txt") == {"removed": 1}
    simulator.reset()
    assert assistant.ask("Hello?").cached is None, "other answers aren't concerned"
    assert docs() == []


def test_what_the_analyst_computed_goes_with_its_file(
    agent: MakeAgent, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "sales.csv").write_text("city,total\nOslo,7\nRome,9\n")
    simulator.script(["- the sum", "```sql\nSELECT sum(total) AS s FROM sales\n```", "It is 16."])
    assert "16" in agent("analyst").ask("What is the sum of total in sales.csv?").answer
    assert docs() == ["sales.csv"]
    assert run("invalidate", "--doc", "sales.csv")["removed"] >= 3


def test_a_failed_turn_is_not_replayed_and_a_repair_takes_no_hit(
    agent: MakeAgent, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "sales.csv").write_text("city,total\nOslo,7\nRome,9\n")
    wrong, right = (
        "```sql\nSELECT x FROM sales\n```",
        "```sql\nSELECT sum(total) AS s FROM sales\n```",
    )
    question = "What is the sum of total in sales.csv?"
    analyst = agent("analyst")
    repairs = analyst.settings.agents.analyst_repairs
    assert repairs > 1, "the second repair has the first one's prompt"
    for _ in range(2):
        simulator.reset()
        simulator.script(["- the sum", *[wrong] * (1 + repairs)])
        assert "could not get a result" in analyst.ask(question).answer
        assert len(simulator.chats()) == 2 + repairs
    simulator.reset()
    simulator.script(["- the sum", right, "It is 16."])
    assert "16" in analyst.ask(question).answer
    assert "16" in analyst.ask(question).answer
    assert len(simulator.chats()) == 3, "a turn that ended well stays"


async def test_a_failed_turn_is_not_replayed_asynchronously(
    agent: MakeAgent, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "sales.csv").write_text("city,total\nOslo,7\nRome,9\n")
    analyst = agent("analyst")
    for _ in range(2):
        simulator.reset()
        simulator.script(["- the sum", *["no code"] * 9])
        reply = await analyst.aask("What is the sum of total in sales.csv?")
        assert "could not get a result" in reply.answer
        assert len(simulator.chats()) == 2 + analyst.settings.agents.analyst_repairs
    await analyst.aclose()


def test_a_run_that_took_hits_takes_all_of_them_out(
    agent: MakeAgent, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "sales.csv").write_text("city,total\nOslo,7\nRome,9\n")
    simulator.script(["- the sum", "```sql\nSELECT sum(total) AS s FROM sales\n```", "It is 16."])
    analyst, question = agent("analyst"), "What is the sum of total in sales.csv?"
    analyst.ask(question)
    again = analyst.ask(question)
    assert again.cached == "exact"
    assert run("report-wrong", again.run_id)["removed"] == ["exact"] * 3
    assert run("show")["entries"] == []


def test_what_the_researcher_found_goes_with_its_sources(
    agent: MakeAgent, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tower.md").write_text("The tower is 330 metres tall.")
    simulator.script(
        [
            "- How tall is the tower?",
            "[1] The tower is 330 metres tall.",
            "The tower is 330 metres tall [1].",
        ]
    )
    assert "330" in agent("researcher").ask("How tall is the tower? Use docs/").answer
    assert docs() == ["docs/tower.md"]
    assert run("invalidate", "--tag", "doc=docs/tower.md", "--agent", "researcher")["removed"] >= 2


def test_invalidate_by_prompt_age_and_key(agent: MakeAgent, simulator: ProviderSimulator) -> None:
    assistant = agent("assistant")
    for question in ("One?", "Two?", "Three?"):
        assistant.ask(question)
    prompt = next(
        tag for tag in run("show")["entries"][0]["tags"] if tag.startswith("prompt=assistant@")
    )
    key = run("show")["entries"][0]["key"]
    assert run("invalidate", "--key", key) == {"removed": 1}
    assert run("invalidate", "--older-than", "1") == {"removed": 0}
    assert run("invalidate", "--tag", prompt) == {"removed": 2}
    assert "--older-than" in refused("invalidate")


def test_warm_asks_once_and_then_finds_it(
    agent: MakeAgent, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    lines = tmp_path / "questions.txt"
    lines.write_text('How high is Everest?\n\n{"question": "How deep is the sea?"}\n')
    assert run("warm", str(lines)) == {"asked": 2, "cached_before": 0}
    assert run("warm", str(lines)) == {"asked": 0, "cached_before": 2}
    assert agent("assistant").ask("How deep is the sea?").cached == "exact"
    assert len(simulator.chats()) == 2
    lines.write_text('{"query": "?"}\n')
    assert 'has no "question"' in refused("warm", str(lines))
    assert "can't be read" in refused("warm", str(tmp_path / "nothing"))


async def test_the_verifier_of_the_settings_asks_its_model(
    simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    verifier = open_verifier(simulator_settings, "openai:gpt-4o-mini")
    simulator.script(["Yes.", "No.", "yes", "Perhaps yes"])
    assert verifier.same("How high is it?", "What is its height?")
    assert not verifier.same("How high is it?", "How old is it?")
    assert await verifier.asame("How high is it?", "What is its height?")
    assert not await verifier.asame("How high is it?", "How old is it?")
    assert {chat.body["model"] for chat in simulator.chats()} == {"gpt-4o-mini"}
    asked = simulator.chats()[0].body["messages"][-1]["content"]
    assert "\nHow high is it?\n" in asked
    await verifier._model.root_async_client.close()  # type: ignore[attr-defined]  # ChatOpenAI


async def test_a_role_names_the_verifier_and_an_unknown_one_gets_a_sentence(
    simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    verifier = open_verifier(simulator_settings, "economical")
    simulator.script(["Yes."])
    assert verifier.same("How high is it?", "What is its height?")
    asked = {chat.body["model"] for chat in simulator.chats()}
    assert asked == {models_by_role(simulator_settings)["economical"]}
    await verifier._model.root_async_client.close()  # type: ignore[attr-defined]  # ChatOpenAI
    with pytest.raises(SettingsError, match="there is no role 'cheapest'"):
        open_verifier(simulator_settings, "cheapest")
