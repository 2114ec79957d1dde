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
from langchain_core.callbacks import BaseCallbackHandler

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
    "assistant": "Say hello.",
    "analyst": "Which region sold most in sales.csv?",
    "creative": "Write a slogan of exactly three words for a bakery.",
    "coder": "Write double(n).",
    "researcher": "How tall is the tower? tower.md",
}
"""What is asked."""


class InModel(BaseCallbackHandler):
    """Milliseconds in which at least one model call was under way."""

    run_inline = True

    def __init__(self) -> None:
        self.total = 0.0
        self._open = 0
        self._since = 0.0
        self._lock = threading.Lock()

    def on_chat_model_start(self, *given: Any, **more: Any) -> None:
        """A call begins."""
        with self._lock:
            if self._open == 0:
                self._since = time.perf_counter()
            self._open += 1

    def on_llm_end(self, *given: Any, **more: Any) -> None:
        """A call ends."""
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self.total += (time.perf_counter() - self._since) * 1000

    def taken(self) -> float:
        """What was counted since the last look."""
        with self._lock:
            total, self.total = self.total, 0.0
        return total


class Sandboxed:
    """Milliseconds that runs in the sandbox took: queries and tests are processes of their own."""

    def __init__(self) -> None:
        self.total = 0.0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Times every run of the sandbox meanwhile."""
        from allotrope.graphs.work.sandbox.backends import local

        plain = local._once

        def timed(*given: Any, **more: Any) -> Any:
            started = time.perf_counter()
            try:
                return plain(*given, **more)
            finally:
                with self._lock:
                    self.total += (time.perf_counter() - started) * 1000

        local._once = timed
        try:
            yield
        finally:
            local._once = plain

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
    """A row per agent: its turn, and what of it is neither a model call nor the sandbox.

    A model call is timed from LangChain's start to its end, so what the chain itself adds to a call
    is not in here but in the other table ("our chain").
    """
    from allotrope import build_agent, load_settings
    from allotrope.graphs.parts import Parts
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
            parts = Parts(settings)
            model = InModel()
            parts.callbacks.append(model)
            agents = {name: build_agent(name, settings=settings, parts=parts) for name in TASKS}
            turns: dict[str, list[float]] = {name: [] for name in TASKS}
            apart: dict[str, list[float]] = {name: [] for name in TASKS}
            asked: dict[str, list[float]] = {name: [] for name in TASKS}
            sandbox = Sandboxed()
            with sandbox.watching():
                for number in range(rounds + 2):
                    for name, agent in agents.items():
                        model.taken(), sandbox.taken()
                        started = time.perf_counter()
                        await agent.aask(TASKS[name])
                        turn = (time.perf_counter() - started) * 1000
                        if number < 2:  # the first turns open stores and read files
                            continue
                        turns[name].append(turn)
                        asked[name].append(model.taken())
                        apart[name].append(sandbox.taken())
            for agent in agents.values():
                await agent.aclose()
            parts.close()
        finally:
            os.chdir(before)
    rows = []
    for name in TASKS:
        parted = zip(turns[name], asked[name], apart[name], strict=True)
        rows.append(
            {
                "agent": name,
                "turn": spread(turns[name]),
                "model_p50": spread(asked[name])["p50"],
                "sandbox_p50": spread(apart[name])["p50"],
                "outside": spread([turn - call - run for turn, call, run in parted]),
            }
        )
    return rows
