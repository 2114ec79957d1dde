"""How short old tool outputs get, and how many questions about them still have their answer.

The samples are real outputs of tools on this machine: JSON of the installed packages, a test log,
a CSV, a page of HTML documentation, code in a fence. The questions are made from them by rules and
answered by string match: needles (a value, a row, an error, a line of code), drawn at random, and
outlines (how many there are, the first, the last). Beside ours stand the head of the output in as
many tokens, and LangChain's ContextEditingMiddleware, which clears old tool outputs.
"""

import csv
import importlib.metadata
import inspect
import io
import json
import pydoc
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from _form import arguments, show, write_json
from langchain.agents.middleware import ClearToolUsesEdit
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from allotrope.memory.archive.archive import Archive
from allotrope.memory.archive.sqlite import SqliteDatabase
from allotrope.memory.compression.compression import Level, compress, compress_tool_output
from allotrope.memory.tokens.counting import TokenCounter

COUNTER = TokenCounter()
NEEDLES = 40
"""Questions for one value each, per sample."""


@dataclass(frozen=True)
class Sample:
    """A tool output, and strings of which each answers a question about it.

    Args:
        kind: What it is.
        text: The output.
        answers: Strings that answer, blanks apart: one question each.
    """

    kind: str
    text: str
    answers: tuple[str, ...]


def packages(random: Random) -> Sample:
    """What a package lister answers, as indented JSON."""
    rows = [
        {
            "name": d.metadata["Name"],
            "version": d.version,
            "summary": d.metadata["Summary"] or "",
            "files": len(d.files or ()),
        }
        for d in sorted(importlib.metadata.distributions(), key=lambda d: d.metadata["Name"])
    ][:60]
    picked = random.sample(rows, NEEDLES)
    answers = [f'"name":"{row["name"]}","version":"{row["version"]}"' for row in picked]
    return Sample("json", json.dumps(rows, indent=2), (*answers, rows[0]["name"], rows[-1]["name"]))


def test_log(random: Random) -> Sample:
    """A service's log: requests of the same shape, a few errors among them."""
    at = datetime(2026, 5, 8, 12, tzinfo=UTC)
    lines, errors = [], []
    for number in range(300):
        at += timedelta(seconds=random.randint(1, 9))
        stamp = f"{at:%Y-%m-%d %H:%M:%S}"
        if number % 23 == 7:
            errors.append(f"{stamp} ERROR worker {number}: connection to 10.0.0.{number} refused")
            lines.append(errors[-1])
        else:
            lines.append(f"{stamp} INFO served /orders/{number} in {random.randint(3, 90)} ms")
    needles = random.sample(lines, NEEDLES - len(errors))
    return Sample("log", "\n".join(lines), (*errors, *needles))


def table(random: Random) -> Sample:
    """A query's result as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["order", "town", "units", "price"])
    towns = ("Ghent", "Utrecht", "Porto", "Turku", "Brno")
    rows = [
        (5_000 + n, random.choice(towns), random.randint(1, 40), f"{random.random() * 90:.2f}")
        for n in range(120)
    ]
    writer.writerows(rows)
    lines = out.getvalue().splitlines()
    return Sample("table", out.getvalue(), (*random.sample(lines, NEEDLES), lines[0], lines[-1]))


def page(random: Random) -> Sample:
    """A page of documentation as HTML."""
    html = pydoc.HTMLDoc().docmodule(csv)
    words = [name for name in dir(csv) if not name.startswith("_") and name in html]
    return Sample("html", f"<div>{html}</div>", tuple(random.sample(words, min(20, len(words)))))


def code(random: Random) -> Sample:
    """A file of code, in a fence."""
    source = inspect.getsource(json.decoder)
    lines = [line for line in source.splitlines() if len(line.strip()) > 20]
    return Sample("code", f"```python\n{source}```", tuple(random.sample(lines, NEEDLES)))


SAMPLES: tuple[Callable[[Random], Sample], ...] = (packages, test_log, table, page, code)


def kept(text: str, sample: Sample) -> float:
    """Share of the questions whose answer stands in the text, blanks apart."""
    bare = "".join(text.split())
    return sum("".join(answer.split()) in bare for answer in sample.answers) / len(sample.answers)


def head(text: str, tokens: int) -> str:
    """The start of a text, as long as fits."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if COUNTER.text(text[:middle]) <= tokens else (low, middle - 1)
    return text[:low]


def cleared(text: str) -> str:
    """What LangChain's middleware leaves of an old tool output."""
    call = {"name": "look", "args": {}, "id": "c", "type": "tool_call"}
    messages: list[BaseMessage] = [
        HumanMessage("Look."),
        AIMessage("", tool_calls=[call]),
        ToolMessage(text, tool_call_id="c"),
        AIMessage("Done."),
        HumanMessage("And now?"),
    ]
    ClearToolUsesEdit(trigger=1, keep=0).apply(messages, count_tokens=COUNTER.messages)
    return next(str(m.content) for m in messages if isinstance(m, ToolMessage))


def opened(sample: Sample, folder: Path) -> float:
    """Share of the questions answered by the text with what its number opens in the archive."""
    archive = Archive(SqliteDatabase(folder / f"{sample.kind}.sqlite"))
    try:
        at = datetime(2026, 5, 8, tzinfo=UTC)
        message = ToolMessage(sample.text, tool_call_id="c", id="tool")
        [row] = [m.row for m in archive.add("bench", "t", [message], at=at)]
        short = compress_tool_output(sample.text, handle=row, counter=COUNTER)
        facts = archive.thread("bench", "t")
        if facts is None or f"#{row}" not in short:
            return kept(short, sample)
        [whole] = archive.rows(facts, [row])
        return kept(short + whole.text, sample)
    finally:
        archive.close()


def main() -> None:
    """Compresses every sample by every way and asks."""
    options = arguments(__doc__ or "").parse_args()
    random = Random(11)
    results: dict[str, Any] = {}
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for make in SAMPLES[:3] if options.quick else SAMPLES:
            sample = make(random)
            whole = COUNTER.text(sample.text)
            folded = compress(sample.text, level=Level.FOLDED).text
            ways = {
                "light": compress(sample.text, level=Level.LIGHT).text,
                "folded": folded,
                "head of as many tokens": head(sample.text, COUNTER.text(folded)),
                "in the prompt (160 tokens)": compress_tool_output(
                    sample.text, handle=1, counter=COUNTER
                ),
                "ContextEditingMiddleware": cleared(sample.text),
            }
            found = {
                name: {"ratio": COUNTER.text(text) / whole, "answers": kept(text, sample)}
                for name, text in ways.items()
            }
            found["in the prompt, number opened"] = {
                "ratio": found["in the prompt (160 tokens)"]["ratio"],
                "answers": opened(sample, Path(folder)),
            }
            results[sample.kind] = {"tokens": whole, "questions": len(sample.answers), **found}
            rows += [
                [sample.kind, name, whole, values["ratio"], values["answers"]]
                for name, values in found.items()
            ]
    show(
        "Tool outputs compressed",
        ["kind", "way", "tokens before", "share of tokens left", "answers still there"],
        rows,
    )
    write_json(options.json, "tool_outputs", results)


if __name__ == "__main__":
    main()
