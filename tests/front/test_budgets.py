"""Budgets act on whole turns: refuse, answer locally, switch the profile; and say so."""

import json

from allotrope.testing import ProviderSimulator


def budget(action: str, percent: int = 1, **more: str) -> str:
    threshold = {"percent": percent, "action": action, **more}
    return json.dumps(
        [{"name": "team", "usd": "0.002", "period": "day", "thresholds": [threshold]}]
    )


def test_local_only_answers_locally_and_says_why(cli, simulator: ProviderSimulator) -> None:
    limits = budget("local_only")
    ran = cli("ask", "assistant", "hello", "--json", ALLOTROPE_USAGE__BUDGETS=limits)
    assert ran.code == 0, ran.err
    reply = json.loads(ran.out)
    assert reply["provider"] == "ollama"
    assert "OpenAI is over budget" in reply["degraded"]["message"]
    assert {request.provider for request in simulator.requests} == {"ollama"}


def test_refuse_is_one_sentence_and_exit_3(cli, simulator: ProviderSimulator) -> None:
    ran = cli("ask", "assistant", "hello", ALLOTROPE_USAGE__BUDGETS=budget("refuse"))
    assert ran.code == 3
    assert "team" in ran.err
    assert simulator.requests == []


def test_switch_profile_takes_the_cheaper_one(cli, simulator: ProviderSimulator) -> None:
    limits = budget("switch_profile", 20, profile="economical")
    cli("ask", "assistant", "first", ALLOTROPE_USAGE__BUDGETS=limits)
    cli("ask", "assistant", "second", ALLOTROPE_USAGE__BUDGETS=limits)
    first, second = (request.body for request in simulator.requests)
    assert (first["model"], first["reasoning_effort"]) == ("o3", "medium")
    assert (second["model"], second.get("reasoning_effort")) != ("o3", "medium")
