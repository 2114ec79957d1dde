"""`allotrope models canary`: a share of the conversations gets another model, and that ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import RunCli

from allotrope import build_agent
from allotrope.models.profiles.library import own_folder
from allotrope.settings import load_settings


def shown(cli: RunCli, **environ: str) -> dict[str, Any]:
    ran = cli("models", "--json", **environ)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def models_of(environ: dict[str, str], threads: list[str]) -> dict[str, str]:
    """The model that answers each conversation."""
    with build_agent("assistant", settings=load_settings(environ=environ, env_file=None)) as agent:
        return {thread: agent.ask("hello", thread_id=thread).model for thread in threads}


def test_a_share_of_the_conversations_gets_the_model_until_it_is_stopped(
    cli: RunCli, simulator_environ: dict[str, str]
) -> None:
    words = ("models", "canary", "primary", "gpt-6.1-sol", "--agent", "assistant")
    ran = cli(*words, "--share", "30%")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("gpt-6.1-sol answers 30% of assistant's conversations since 20")
    threads = [f"t{number}" for number in range(8)]
    answered = models_of(simulator_environ, threads)
    new = [thread for thread, model in answered.items() if model == "gpt-6.1-sol"]
    assert 1 <= len(new) < len(threads)  # assigned by a hash: always the same ones
    assert {answered[thread] for thread in threads if thread not in new} == {"o3-2025-04-16"}

    [canary] = shown(cli)["canaries"]
    assert {canary[key] for key in ("role", "model", "agent")} == {
        "primary",
        "gpt-6.1-sol",
        "assistant",
    }
    assert (canary["share"], canary["stopped"]) == (0.3, None)
    told = " ".join(cli("models").out.split())
    assert "canary gpt-6.1-sol answers 30% of assistant's conversations" in told
    # it is the online experiment that there is
    [experiment] = json.loads(cli("experiment", "status", "--json").out)["experiments"]
    assert experiment["name"] == canary["experiment"] == "canary-primary-assistant"
    assert (experiment["kind"], experiment["status"]) == ("online", "running")

    again = cli(*words, "--share", "0.3")
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "runs already" in again.err
    # a larger share keeps whom it had
    assert cli(*words, "--share", "60%").code == 0
    more = models_of(simulator_environ, threads)
    assert {thread for thread, model in more.items() if model == "gpt-6.1-sol"} > set(new)

    ended = cli("models", "canary", "primary", "--stop")
    assert (ended.code, "what was measured is kept" in ended.out) == (0, True)
    assert shown(cli)["canaries"] == []
    assert set(models_of(simulator_environ, threads).values()) == {"o3-2025-04-16"}


def test_it_is_for_all_agents_of_the_role_and_for_a_model_that_the_settings_name(
    cli: RunCli,
) -> None:
    environ = {"ALLOTROPE_OPENAI__MODEL": "o3"}
    ran = cli("models", "canary", "primary", "gpt-6.1-sol", "--share", "5%", "--json", **environ)
    assert ran.code == 0, ran.err
    agents = [one["agent"] for one in json.loads(ran.out)["started"]]
    assert agents == ["analyst", "assistant", "coder", "creative", "researcher"]
    ended = cli("models", "canary", "primary", "--stop", "--agent", "coder", "--json", **environ)
    assert [one["agent"] for one in json.loads(ended.out)["stopped"]] == ["coder"]
    assert len(shown(cli, **environ)["canaries"]) == 4


def test_a_canary_that_a_guard_rail_stopped_is_shown_as_such(
    cli: RunCli, simulator_environ: dict[str, str]
) -> None:
    from allotrope.experiments.store import open_store

    words = ("models", "canary", "primary", "gpt-6.1-sol", "--agent", "assistant")
    assert cli(*words, "--share", "5%").code == 0
    store = open_store(load_settings(environ=simulator_environ, env_file=None))
    assert store.stop_variant("canary-primary-assistant", "canary", reason="error_rate is 0.4")
    told = " ".join(cli("models").out.split())
    assert "gpt-6.1-sol was stopped for assistant by a guard-rail: error_rate is 0.4" in told
    # the same command starts it anew
    assert cli(*words, "--share", "5%").code == 0
    assert shown(cli)["canaries"][0]["stopped"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("primary", "gpt-6.1-sool", "--share", "5%"), "Did you mean 'gpt-6.1-sol'?"),
        (("primray", "gpt-6.1-sol", "--share", "5%"), "Did you mean 'primary'?"),
        (("primary", "o4-mini", "--share", "5%"), "o4-mini ended on 2026-10-23"),
        (("primary", "o3", "--share", "5%"), "already"),
        (("primary", "gpt-6.1-sol", "--share", "lots"), "--share 5%"),
        (("primary", "gpt-6.1-sol", "--share", "5"), "--share 5%"),
        (("primary", "gpt-6.1-sol", "--share", "nan%"), "--share 5%"),
        (("primary", "gpt-6.1-sol", "--share", "0"), "--share 5%"),
        (("primary", "gpt-6.1-sol", "--share", "100%"), "--share 5%"),
        (("primary", "gpt-6.1-sol"), "a share"),
        (("primary", "--share", "5%"), "a model"),
        (("primary", "gpt-6.1-sol", "--stop"), "--stop takes neither"),
        (("primary", "--stop"), "No canary of primary runs"),
        (("economical", "gpt-6.1-sol", "--share", "5%"), "No agent answers by the role economical"),
        (("primary", "gpt-6.1-sol", "--share", "5%", "--agent", "asistant"), "assistant"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_starts_nothing(
    cli: RunCli, words: tuple[str, ...], told: str
) -> None:
    ran = cli("models", "canary", *words)
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert told in ran.err
    assert shown(cli)["canaries"] == []


def test_an_agent_in_another_experiment_is_left_alone_and_so_are_all(
    cli: RunCli, tmp_path: Path
) -> None:
    file = tmp_path / "tone.yaml"
    file.write_text(
        "name: tone\nkind: online\nagent: coder\nunit: thread\nvariants:\n"
        "  - {name: control, share: 0.5}\n  - {name: precise, share: 0.5, profile: precise}\n"
        "metrics: [{name: feedback}]\n"
    )
    assert cli("experiment", "run", str(file)).code == 0
    ran = cli("models", "canary", "primary", "gpt-6.1-sol", "--share", "5%")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "tone runs on coder already" in ran.err
    assert shown(cli)["canaries"] == []


def test_a_profile_that_isnt_there_yet_fails_no_turn(
    cli: RunCli, simulator_environ: dict[str, str]
) -> None:
    """A process may read the experiment a moment before the profile."""
    words = ("models", "canary", "primary", "gpt-6.1-sol", "--agent", "assistant")
    assert cli(*words, "--share", "99.9%").code == 0
    settings = load_settings(environ=simulator_environ, env_file=None)
    (own_folder(settings) / "canary-primary-assistant.yaml").unlink()
    assert models_of(simulator_environ, ["a", "b"]) == {"a": "o3-2025-04-16", "b": "o3-2025-04-16"}
