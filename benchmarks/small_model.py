"""Each agent once on the embedded model: a real run, with what the checks say of the answer.

SmolLM2-135M answers badly. What is shown is that each state machine runs to its end on a model that
nobody scripted, and that the report is honest about what came out. Takes minutes on two cores.
`--page FILE` writes the runs as Markdown; `docs/examples/small-model.md` is such a page.
"""

import contextlib
import os
import tempfile
import time
from contextvars import ContextVar
from datetime import date
from pathlib import Path
from typing import Any

from _form import arguments, show, write_json
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

from allotrope.agents import registry
from allotrope.agents.agent import Agent
from allotrope.settings import load_settings

FILES = {
    "sales.csv": "region,month,total\nNorth,Jan,120\nNorth,Feb,90\nSouth,Jan,80\nSouth,Feb,130\n",
    "tower.md": "# The tower\n\nThe tower is 330 metres tall. It was finished in 1889.\n",
}
TASKS = {
    "assistant": "What is 17 percent of 340?",
    "analyst": "What is the sum of total in sales.csv for each region?",
    "creative": "Write a slogan of at most ten words for a bakery. Use the word bread.",
    "coder": "Write a function double(n) that returns 2 * n, and a test of it.",
    "researcher": "How tall is the tower, and when was it finished? tower.md",
}
COUNT = "ALLOTROPE_BENCHMARK_COUNTS_CALLS"


class CountedCalls(BaseCallbackHandler):
    """Counts the calls of models in this process."""

    count = 0
    run_inline = True

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        type(self).count += 1


def one(name: str, folder: Path) -> dict[str, Any]:
    """A turn of an agent.

    Args:
        name: Which agent.
        folder: Where its files lie.
    """
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=folder / "data",
        openai={"enabled": False},
        ollama={"enabled": False},
        redis={"embedded": False},
        cache={"enabled": False},
        agents={
            "coder_approval": False,
            "file_roots": (folder,),
            "output_dir": folder / "out",
            "creative_drafts": 2,
            "creative_revisions": 1,
            "research_questions": 2,
        },
    )
    before = CountedCalls.count
    started = time.monotonic()
    with Agent(registry.find(name), settings) as agent:
        reply = agent.ask(TASKS[name])
    return {
        "agent": name,
        "model": reply.model,
        "calls": CountedCalls.count - before,
        "input_tokens": reply.usage["input_tokens"],
        "output_tokens": reply.usage["output_tokens"],
        "seconds": time.monotonic() - started,
        "task": TASKS[name],
        "answer": reply.answer,
    }


def page(rows: list[dict[str, Any]]) -> str:
    """The runs as Markdown.

    Args:
        rows: From `one`.
    """
    lines = [
        "# Each agent once on the embedded model",
        "",
        f"`python benchmarks/small_model.py --page FILE`, {date.today():%-d %B %Y}: "
        f"{rows[0]['model']}, 135 million",
        "parameters, on the CPU, without a key. Nothing is scripted or left out. Such a model",
        "writes nonsense; what is shown is that each state machine runs to its end on it, and that",
        "the answer says what held and what didn't.",
        "",
        "| agent | model calls | tokens in | tokens out |",
        "|---|---|---|---|",
    ]
    for row in rows:
        counts = f"{row['calls']} | {row['input_tokens']:,} | {row['output_tokens']:,}"
        lines.append(f"| `{row['agent']}` | {counts} |")
    for row in rows:
        lines += ["", f"## {row['agent']}", "", f"Asked: {row['task']}", "", "~~~~text"]
        lines += [row["answer"].replace("~~~~", "~~~").rstrip(), "~~~~"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs each agent once, and prints what came out."""
    parser = arguments("Each agent once on the embedded model.")
    parser.add_argument("--page", type=Path, help="write the runs as Markdown")
    chosen = parser.parse_args()
    os.environ[COUNT] = "true"
    hook: ContextVar[BaseCallbackHandler | None] = ContextVar("counted_calls", default=None)
    register_configure_hook(hook, True, CountedCalls, COUNT)
    rows = []
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        folder = Path(place)
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
        for name in list(TASKS)[: 1 if chosen.quick else None]:
            row = one(name, folder)
            row["answer"] = row["answer"].replace(str(folder), "FOLDER")
            rows.append(row)
            print(f"--- {name}: {row['task']}\n{row['answer']}\n", flush=True)
    columns = ["agent", "model", "model calls", "tokens in", "tokens out", "s"]
    keys = ("agent", "model", "calls", "input_tokens", "output_tokens", "seconds")
    show("small_model", columns, [[row[key] for key in keys] for row in rows])
    if chosen.page is not None:
        chosen.page.write_text(page(rows), encoding="utf-8")
    write_json(chosen.json, "small_model", rows)


if __name__ == "__main__":
    main()
