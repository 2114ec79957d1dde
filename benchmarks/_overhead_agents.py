"""Time per turn that each agent spends outside the model, on scripted answers over the wire."""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _form import spread

CODE = (
    "```python\n# solution.py\ndef double(n):\n    return 2 * n\n```\n"
    "```python\n# test_solution.py\nfrom solution import double\n\n"
    "def test_it():\n    assert double(2) == 4\n```"
)
SQL = "```sql\nSELECT region, sum(amount) AS total FROM sales GROUP BY 1 ORDER BY 2 DESC\n```"
STEPS = {
    "You plan the work of": "- total per region",
    "You write SQL": SQL,
    "You are a data analyst. Answer": "North leads with 1,500.5.",
    "You choose the chart": '{"kind": "none"}',
    "You are a writer": "Fresh bread daily",
    "You are an editor": '{"score": 9, "problems": []}',
    "You are a Python engineer": CODE,
    "You plan research": "- How tall is the tower?",
    "You take notes": "[1] The tower is 330 metres tall.",
    "You write a report": "The tower is 330 metres tall [1].",
}
"""What the model answers, by what a step's prompt begins with."""

TASKS = {
    "assistant": ("Say hello.", 1),
    "analyst": ("Which region sold most in sales.csv?", 4),
    "creative": ("Write a slogan of exactly three words for a bakery.", 2),
    "coder": ("Write double(n).", 1),
    "researcher": ("How tall is the tower? tower.md", 3),
}
"""The question, and the model calls that follow one another (parallel ones count once)."""


class Sandboxed:
    """Milliseconds that runs in the sandbox took: queries and tests are processes of their own."""

    def __init__(self) -> None:
        self.total = 0.0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Times every run of the sandbox meanwhile."""
        from allotrope.graphs.sandbox import runner

        plain = runner._run

        def timed(*given: Any, **more: Any) -> Any:
            started = time.perf_counter()
            try:
                return plain(*given, **more)
            finally:
                with self._lock:
                    self.total += (time.perf_counter() - started) * 1000

        runner._run = timed
        try:
            yield
        finally:
            runner._run = plain

    def taken(self) -> float:
        """What was counted since the last look."""
        with self._lock:
            total, self.total = self.total, 0.0
        return total


def write_files(folder: Path) -> None:
    """What the questions are about."""
    (folder / "sales.csv").write_text("region,amount\nNorth,1000.25\nNorth,500.25\nSouth,5\n")
    (folder / "tower.md").write_text("The tower is 330 metres tall.\n")


async def per_agent(quick: bool) -> list[dict[str, Any]]:
    """A row per agent: its turn, and what of it is neither the model's nor the sandbox's.

    The model's part is what a bare `ChatOpenAI.ainvoke` takes on the same simulator in the same
    round, times the calls that follow one another; all else is ours, the second and third of
    parallel calls included.
    """
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI

    from allotrope import build_agent, load_settings
    from allotrope.testing import ProviderSimulator, SimRequest

    def played(request: SimRequest) -> str:
        system = request.asked.turns[0].text
        return next((text for mark, text in STEPS.items() if system.startswith(mark)), "Hello.")

    rounds = 5 if quick else 30
    before = Path.cwd()
    with ProviderSimulator() as simulator, tempfile.TemporaryDirectory() as folder:
        simulator.answer_with(played)
        os.chdir(folder)
        try:
            write_files(Path(folder))
            settings = load_settings(
                environ={**simulator.environment, "ALLOTROPE_DATA_DIR": folder},
                env_file=None,
                embedded={"enabled": False},
                cache={"enabled": False},
                agents={
                    "coder_approval": False,
                    "coder_isolation": False,
                    "research_questions": 1,
                    "output_dir": Path(folder) / "out",
                },
            )
            bare = ChatOpenAI(
                model="o3", base_url=simulator.openai_url, api_key="sk-test", max_retries=0
            )
            agents = {name: build_agent(name, settings=settings) for name in TASKS}
            turns: dict[str, list[float]] = {name: [] for name in TASKS}
            apart: dict[str, list[float]] = {name: [] for name in TASKS}
            calls: list[float] = []
            sandbox = Sandboxed()
            with sandbox.watching():
                for number in range(rounds + 2):
                    for name, agent in agents.items():
                        started = time.perf_counter()
                        await bare.ainvoke([HumanMessage(f"hello {number}")])
                        model = (time.perf_counter() - started) * 1000
                        sandbox.taken()
                        started = time.perf_counter()
                        await agent.aask(TASKS[name][0])
                        turn = (time.perf_counter() - started) * 1000
                        if number < 2:  # the first turns open stores and read files
                            continue
                        calls.append(model)
                        turns[name].append(turn)
                        apart[name].append(sandbox.taken())
            for agent in agents.values():
                await agent.aclose()
        finally:
            os.chdir(before)
    model = spread(calls)["p50"]
    rows = []
    for name, (_, following) in TASKS.items():
        outside = [
            turn - run - following * model
            for turn, run in zip(turns[name], apart[name], strict=True)
        ]
        rows.append(
            {
                "agent": name,
                "calls": following,
                "turn": spread(turns[name]),
                "sandbox_p50": spread(apart[name])["p50"],
                "outside": spread(outside),
            }
        )
    return rows
