"""The agents on the real embedded model: 135 million parameters answer badly, and it is said so."""

from pathlib import Path

import pytest

from allotrope.agents import registry
from allotrope.agents.agent import Agent
from allotrope.settings import load_settings

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.mark.parametrize(
    ("name", "question", "verdicts"),
    [
        ("assistant", "What is the capital of France?", ("France", "Paris")),  # it may say wrong
        (
            "analyst",
            "What is the sum of n in n.csv?",
            ("| ", "I could not get a result from the data"),
        ),
        (
            "creative",
            "Write a slogan of at most ten words for a bakery.",
            ("constraint holds (counted by a program)", "Not everything holds", "wrote nothing"),
        ),
        (
            "coder",
            "Write a function double(n).",
            ("The tests pass (", "The code does not work yet", "No code came out"),
        ),
        (
            "researcher",
            "How tall is the tower? tower.md",
            ("Sources:", "[unverified]", "Nothing in the sources"),
        ),
    ],
)
def test_a_weak_model_gets_an_honest_report(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    question: str,
    verdicts: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.csv").write_text("n\n1\n2\n")
    (tmp_path / "tower.md").write_text("The tower is 330 metres tall.")
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path / "data",
        openai={"enabled": False},
        ollama={"enabled": False},
        redis={"embedded": False},
        cache={"enabled": False},
        agents={
            "coder_approval": False,
            "coder_isolation": False,
            "analyst_repairs": 0,
            "coder_repairs": 0,
            "creative_drafts": 1,
            "creative_revisions": 0,
            "research_questions": 1,
            "research_repairs": 0,
        },
    )
    with Agent(registry.find(name), settings) as agent:
        reply = agent.ask(question)
    assert reply.provider == "embedded"
    if name == "analyst" and "| " in reply.answer:  # a table is shown only from a query that ran
        assert "```sql" in reply.answer
    assert any(verdict in reply.answer for verdict in verdicts), reply.answer
