"""All five agents through `build_agent` and the simulator's wire: right, wrong, malformed, empty.

The model is played by what each step's prompt begins with, so that parallel steps may come in any
order. "Wrong" goes through each agent's repair loop; "nonsense" has to end in an honest sentence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from allotrope import build_agent
from allotrope.agents.agent import Agent
from allotrope.exceptions import AllProvidersFailedError
from allotrope.settings import load_settings
from allotrope.testing import ProviderSimulator, Reply, SimRequest, ToolCall

NONSENSE = "Colourless green ideas sleep furiously."


def call(tool: str, **arguments: Any) -> Reply:
    return Reply(tool_calls=(ToolCall(tool, arguments),))


def code(*files: str) -> str:
    return "\n".join(f"```python\n{text}\n```" for text in files)


@dataclass(frozen=True)
class Task:
    """A real task, and how a model answers its steps.

    Attributes:
        question: What is asked.
        right: By the beginning of a step's prompt, the answer; a list is used up, its last stays.
        wrong: The steps that go wrong first.
        starts: How the right answer begins.
        honest: What the answer to nonsense says.
        requests: Requests of the right way.
    """

    question: str
    right: Mapping[str, Any]
    wrong: Mapping[str, Any]
    starts: str
    honest: str
    requests: int
    tells: tuple[str, ...] = field(default=())


SOLUTION = "# solution.py\ndef double(n):\n    return 2 * n"
TESTS = (
    "# test_solution.py\nfrom solution import double\n\ndef test_it():\n    assert double(2) == 4"
)
SQL = "```sql\nSELECT region, sum(amount) AS total FROM sales GROUP BY 1 ORDER BY 2 DESC\n```"
TALL = "The tower is 330 metres tall [1]."

TASKS = {
    "assistant": Task(
        question="How many cm are 3 inches?",
        right={"": [call("convert_units", quantity="3 inch", to="cm"), "7.62 cm"]},
        wrong={
            "": [
                call("convert_units", quantity="3 inch", to="kg"),
                call("no_such_tool", x=1),
                call("convert_units", quantity="3 inch", to="cm"),
                "7.62 cm",
            ]
        },
        starts="7.62 cm",
        honest=NONSENSE,  # an assistant's words are its own; nothing is claimed to be checked
        requests=2,
        tells=("3 inch = 7.62 cm",),
    ),
    "analyst": Task(
        question="Which region sold most in sales.csv?",
        right={
            "You plan": "- total per region",
            "You write SQL": SQL,
            "You are a data": "North leads with 1,500.5.",
            "You choose": '{"kind": "bar", "x": "region", "y": "total"}',
        },
        wrong={
            "You write SQL": ["I can't.", "```sql\nSELECT area FROM sales\n```", SQL],
            "You are a data": ["North sold 1,600.", "North leads with 1,500.5."],
        },
        starts="North leads with 1,500.5.",
        honest="I could not get a result from the data",
        requests=4,
        tells=("no SQL code block", "Binder Error", "1,600: it stands in no result"),
    ),
    "creative": Task(
        question="Write a slogan of exactly three words for a bakery.",
        right={
            "You are a writer. Write": "Fresh bread daily",
            "You are an editor": '{"score": 9, "problems": []}',
        },
        wrong={
            "You are a writer. Write": "The very best bread in town",
            "You are a writer. Rewrite": ["Bread", "Fresh bread daily"],
        },
        starts="Fresh bread daily\n\n---\nScore 9/10",
        honest="Not everything holds: It has 5 words, 2 too many",
        requests=6,
        tells=("It has 6 words, 3 too many",),
    ),
    "coder": Task(
        question="Write double(n).",
        right={"You are a Python engineer. Write": code(SOLUTION, TESTS)},
        wrong={
            "You are a Python engineer. Write": code(SOLUTION.replace("2 *", "3 *"), TESTS),
            "You are a Python engineer. The": ["It is right as it is.", code(SOLUTION)],
        },
        starts="The tests pass (1 passed",
        honest="No code came out that could be run",
        requests=1,
        tells=("assert 6 == 4", "no code block"),
    ),
    "researcher": Task(
        question="How tall is the tower? tower.md",
        right={
            "You plan": "- How tall is the tower?",
            "You take notes": f"[1] {TALL[:-4]}",
            "You write a report": TALL,
        },
        wrong={"You write a report": [TALL.replace("330", "340"), TALL]},
        starts=f"{TALL}\n\nSources:\n[1] tower.md",
        honest="[unverified]",
        requests=3,
        tells=("340 metres doesn't stand in the source",),
    ),
}


def played(steps: Mapping[str, Any]) -> Callable[[SimRequest], Any]:
    left = {
        mark: list(given) if isinstance(given, list) else given for mark, given in steps.items()
    }

    def answer(request: SimRequest) -> Any:
        system = request.asked.turns[0].text
        mark = max((mark for mark in left if system.startswith(mark)), key=len, default=None)
        given = NONSENSE if mark is None else left[mark]
        if not isinstance(given, list):
            return given
        return given.pop(0) if len(given) > 1 else given[0]

    return answer


@pytest.fixture
def build(
    simulator_environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Agent]:
    monkeypatch.chdir(tmp_path)
    Path("sales.csv").write_text("region,amount\nNorth,1000.25\nNorth,500.25\nSouth,500\n")
    Path("tower.md").write_text("The tower is 330 metres tall.\n")
    settings = load_settings(
        environ=simulator_environ,
        env_file=None,
        cache={"enabled": False},
        resilience={"attempts": 4, "first_wait_s": 0},
        agents={
            "coder_approval": False,
            "coder_isolation": False,
            "research_questions": 1,
            "output_dir": tmp_path / "out",
        },
    )
    return lambda name: build_agent(name, settings=settings)


@pytest.mark.parametrize("name", TASKS)
def test_right_answers(name: str, build: Any, simulator: ProviderSimulator) -> None:
    task = TASKS[name]
    simulator.answer_with(played(task.right))
    with build(name) as agent:
        reply = agent.ask(task.question, thread_id="t1")
    assert reply.answer.startswith(task.starts), reply.answer
    usual, _ = agent.spec.model_calls(agent.settings.agents)
    assert (reply.provider, reply.degraded) == ("openai", None)
    assert len(simulator.requests) == task.requests
    assert usual == task.requests - (name == "assistant"), "the tool's round is one more"


@pytest.mark.parametrize("name", TASKS)
async def test_wrong_answers_are_repaired(
    name: str, build: Any, simulator: ProviderSimulator
) -> None:
    task = TASKS[name]
    simulator.answer_with(played({**task.right, **task.wrong}))
    async with build(name) as agent:
        reply = await agent.aask(task.question, thread_id="t1")
    assert reply.answer.startswith(task.starts), reply.answer
    asked = "\n".join(turn.text for one in simulator.requests for turn in one.asked.turns)
    assert not [words for words in task.tells if words not in asked]


@pytest.mark.parametrize("name", TASKS)
def test_nonsense_ends_in_an_honest_answer(
    name: str, build: Any, simulator: ProviderSimulator
) -> None:
    task = TASKS[name]
    simulator.answer_with(played({}))
    with build(name) as agent:
        reply = agent.ask(task.question, thread_id="t1")
        _, most = agent.spec.model_calls(agent.settings.agents)
    assert most is None or len(simulator.requests) <= most
    assert task.honest in reply.answer
    assert "tests pass" not in reply.answer


@pytest.mark.parametrize("name", TASKS)
async def test_empty_and_malformed_replies_are_asked_again(
    name: str, build: Any, simulator: ProviderSimulator
) -> None:
    task = TASKS[name]
    simulator.answer_with(played(task.right))
    simulator.faults.add("empty", provider="openai", requests=[1])
    simulator.faults.add("broken_tool_call", provider="openai", requests=[2])
    # the first to see it is whoever takes over, or where steps are parallel, the third of them
    simulator.faults.add("malformed_json", provider="openai", requests=[3])
    simulator.faults.add("malformed_json", provider="ollama", requests=[1])
    async with build(name) as agent:
        reply = await agent.aask(task.question, thread_id="t1")
    assert reply.answer.startswith(task.starts), reply.answer
    met = {one.fault for one in simulator.requests}
    assert met == {"empty", "broken_tool_call", "malformed_json", None}


@pytest.mark.parametrize("name", TASKS)
def test_a_model_that_only_ever_answers_nothing_loses_nothing(
    name: str, build: Any, simulator: ProviderSimulator
) -> None:
    task = TASKS[name]
    simulator.answer_with(played(task.right))
    silent = simulator.faults.add("empty")
    with build(name) as agent:
        with pytest.raises(AllProvidersFailedError):
            agent.ask(task.question, thread_id="t1")
        assert [message.text for message in agent.history("t1")] == [task.question]
        simulator.faults.remove(silent)
        assert agent.ask(task.question, thread_id="t1").answer.startswith(task.starts)
