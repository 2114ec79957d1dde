"""The steps' prompts go through memory: windows, failover, calibration and the context event."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from allotrope import build_agent
from allotrope.memory.context.meter import meter_of
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.settings import load_settings
from allotrope.testing import ProviderSimulator, SimRequest

WINDOW = 4_096
SQL = "```sql\nSELECT sum(c0) AS s FROM wide\n```"


def answer(request: SimRequest) -> str:
    system = request.asked.turns[0].text
    if "You plan" in system:
        return "- the sum of c0"
    return SQL if "You write SQL" in system else "The sum is 3."


@pytest.fixture
def wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    names = ",".join(f"c{n}" for n in range(200))
    rows = "\n".join(",".join([str(value)] * 200) for value in (1, 2))
    Path("wide.csv").write_text(f"{names}\n{rows}\n")
    return "What is the sum of c0 in wide.csv?"


@pytest.fixture
def settings(simulator_environ: dict[str, str]) -> Any:
    return load_settings(environ=simulator_environ, env_file=None, ollama={"num_ctx": WINDOW})


def test_a_model_that_takes_over_gets_a_prompt_for_its_own_window(
    wide: str, settings: Any, simulator: ProviderSimulator
) -> None:
    counter = TokenCounter()
    simulator.down("openai")
    simulator.answer_with(answer)
    with build_agent("analyst", settings=settings) as analyst:
        reply = analyst.ask(wide, thread_id="t1")
    assert reply.answer.startswith("The sum is 3.")
    assert (reply.provider, bool(reply.degraded)) == ("ollama", True)
    asked = simulator.chats("ollama")
    assert len(asked) == 3
    sizes = [sum(counter.text(turn.text) for turn in one.asked.turns) for one in asked]
    assert max(sizes) < WINDOW * 0.8
    assert sizes[0] > WINDOW / 4  # as much of the tables as fits
    assert all("What is the sum of c0" in one.asked.turns[-1].text for one in asked)


def test_steps_tell_the_context_and_learn_the_providers_counts(
    wide: str, settings: Any, simulator: ProviderSimulator
) -> None:
    simulator.answer_with(answer)
    with build_agent("analyst", settings=settings) as analyst:
        events = list(analyst.stream(wide, thread_id="t1"))
        told = [event for event in events if event["type"] == "context"]
        assert [one["step"] for one in told] == ["analyst.plan", "analyst.sql", "analyst.answer"]
        assert all(one["window"] > 100_000 and not one["shortened_texts"] for one in told)
        assert all(one["prompt"]["texts"] > 1_500 for one in told[:2])
        # the meter shows what was sent, the user's turn once
        turns = simulator.requests[0].asked.turns
        sent = TokenCounter().messages([HumanMessage(turn.text) for turn in turns])
        shown = meter_of(told[0])
        assert abs(shown.used - sent) <= 4
        assert {share.kind for share in shown.shares} == {"system", "texts", "user"}
        analyst.ask("And the mean?", thread_id="t1")
        assert [turn.role for turn in simulator.requests[-1].asked.turns][-3:] == [
            "user",
            "assistant",
            "user",
        ]


def test_a_run_s_token_limit_holds_for_steps(
    wide: str, settings: Any, simulator: ProviderSimulator
) -> None:
    simulator.answer_with(answer)
    counter = TokenCounter()
    with build_agent("analyst", settings=settings) as analyst:
        analyst.ask(wide, thread_id="t1", context={"budget_tokens": 700})
    own_words = 600  # what the templates themselves say
    for one in simulator.requests:
        assert sum(counter.text(turn.text) for turn in one.asked.turns) < 700 + own_words
