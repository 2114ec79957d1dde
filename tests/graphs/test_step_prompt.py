"""A step's prompt fits every window: texts by their share, then the conversation."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from allotrope.graphs.prompt.step_prompt import joined, render_within, shares
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.prompts import open_library
from allotrope.settings import load_settings
from allotrope.support.fencing import untrusted

TABLES = "\n".join(f"column_{n} DOUBLE, from {n} to {n * 7}" for n in range(900))
SAID = [HumanMessage("Which region leads?"), AIMessage("North leads. " * 80)] * 6


@pytest.fixture(scope="module")
def template():
    return open_library(load_settings(environ={}, env_file=None)).get("analyst.sql")


@pytest.fixture(scope="module")
def counter():
    return TokenCounter()


@pytest.mark.parametrize("budget", [420, 800, 2_000, 6_000, 40_000])
def test_it_fits_and_the_question_stays(template, counter, budget):
    values = untrusted({"question": "How many rows?", "tables": TABLES, "error": "no such column"})
    rendered, shortened = render_within(template, values, budget=budget, counter=counter)
    messages = joined(rendered, SAID, budget=budget, counter=counter)
    assert counter.messages(messages) <= budget
    assert [messages[0].type, messages[-1].type] == ["system", "human"]
    assert "Question: How many rows?" in messages[-1].text
    assert "no such column" in messages[-1].text
    assert messages[-1].text.count("</quoted_data id=") == 2
    assert shortened == ([] if budget == 40_000 else ["tables"])
    assert (len(messages) == 2 + len(SAID)) == (budget == 40_000)


def test_a_huge_question_is_shortened_too(template, counter):
    values = untrusted({"question": "Why? " * 9_000, "tables": TABLES})
    rendered, shortened = render_within(template, values, budget=3_000, counter=counter)
    assert shortened == ["question", "tables"]
    assert counter.messages(rendered) <= 3_000
    texts = rendered[-1].text.split("Question: ")
    assert min(counter.text(text) for text in texts) > 900


@pytest.mark.parametrize(
    ("sizes", "weights", "room", "limits"),
    [
        ({"a": 10, "b": 1000}, {"a": 0.5, "b": 0.5}, 200, {"a": 10, "b": 190}),
        ({"a": 900, "b": 900}, {"a": 0.6, "b": 0.2}, 400, {"a": 300, "b": 100}),
        ({"a": 10, "b": 20}, {"a": 0.1, "b": 0.1}, 500, {"a": 10, "b": 20}),
        ({"a": 10}, {"a": 0.1}, 0, {"a": 0}),
        ({}, {}, 10, {}),
    ],
)
def test_shares(sizes, weights, room, limits):
    assert shares(sizes, weights, room=room) == limits
