"""The day after o3's end: every answer says in whose place it was given."""

import json

import pytest
from tests.conftest import RunCli

from allotrope.succession.sentences import in_place_of
from allotrope.testing import ProviderSimulator

AFTER = "2026-12-11"
O3_ENDED = {"from": "o3", "to": "gpt-6.1-sol", "reason": "date"}


def test_the_reply_says_in_whose_place_it_was_given(
    cli: RunCli, simulator: ProviderSimulator
) -> None:
    simulator.script(["Paris."])
    ran = cli("ask", "assistant", "Capital of France?", "--json", ALLOTROPE_OPENAI__TODAY=AFTER)
    reply = json.loads(ran.out)
    assert reply["succession"] == O3_ENDED
    assert (reply["model"], reply["degraded"], reply["repairs"]) == ("gpt-6.1-sol", None, [])
    names = list(reply)
    assert names[names.index("degraded") + 1] == "succession"


def test_before_the_end_there_is_none(cli: RunCli, simulator: ProviderSimulator) -> None:
    simulator.script(["Paris."])
    reply = json.loads(cli("ask", "assistant", "Capital of France?", "--json").out)
    assert (reply["succession"], reply["model"]) == (None, "o3-2025-04-16")


def test_a_hit_says_it_as_it_is_now(cli: RunCli, simulator: ProviderSimulator) -> None:
    simulator.retire("o3")
    simulator.script(["Paris."])
    question = ("ask", "assistant", "Capital of France?", "--json")
    assert json.loads(cli(*question).out)["succession"] == {**O3_ENDED, "reason": "refused"}
    hit = json.loads(cli(*question, ALLOTROPE_OPENAI__TODAY=AFTER).out)
    assert (hit["cached"], hit["succession"]["to"]) == ("exact", "gpt-6.1-sol")
    chosen = json.loads(cli(*question, ALLOTROPE_OPENAI__MODEL="gpt-6.1-sol").out)
    assert (chosen["cached"], chosen["succession"]) == ("exact", None)


def test_an_agent_with_steps_says_it_too(cli: RunCli, simulator: ProviderSimulator) -> None:
    ran = cli("ask", "creative", "A haiku on rain.", "--json", ALLOTROPE_OPENAI__TODAY=AFTER)
    assert json.loads(ran.out)["succession"] == O3_ENDED, ran.err


def test_people_read_one_sentence(cli: RunCli, simulator: ProviderSimulator) -> None:
    simulator.script(["Paris."])
    ran = cli("ask", "assistant", "Capital of France?", ALLOTROPE_OPENAI__TODAY=AFTER)
    assert "— o3 has ended; gpt-6.1-sol answered in its place.\n" in ran.err


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("date", "o3 has ended; gpt-6.1-sol answered in its place."),
        ("retired", "o3 has ended; gpt-6.1-sol answered in its place."),
        ("refused", "The provider no longer offers o3; gpt-6.1-sol answered in its place."),
    ],
)
def test_each_reason_has_its_words(reason: str, sentence: str) -> None:
    assert in_place_of({**O3_ENDED, "reason": reason}) == sentence
