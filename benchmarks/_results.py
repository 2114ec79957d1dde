"""Makes `benchmarks/RESULTS.md`, and tables of the docs, of what benchmarks wrote by `--json`.

    python benchmarks/failover.py --json benchmarks/results/failover.json
    make results

A table of a page in docs/ stands between `<!-- results: NAME N -->`, the benchmark's name and the
table's number in its run, and `<!-- end of results -->`; a run with options,
such as `--quick`, doesn't fill it.
"""

import ast
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "results"
PAGE = HERE / "RESULTS.md"
DOCS = HERE.parent / "docs"

HEAD = """# Results of the benchmarks

Made by `make results` from `benchmarks/results/*.json`; don't edit it. Each benchmark prints the
same tables where you run it: times depend on the machine, counts and shares hardly do. "Load" is
how many programs ran or waited for a core in the mean, in the quarter of an hour before the run's
end, this one included.
"""

_SLOT = re.compile(
    r"(<!-- results: (?P<name>\w+) (?P<number>\d+) -->\n)[^\0]*?(<!-- end of results -->)"
)


def read(folder: Path) -> list[dict[str, Any]]:
    """What the runs in a folder wrote, by the benchmarks' names."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted(found, key=lambda run: (run["benchmark"], run["options"]))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first have numbers."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def purpose(name: str) -> str:
    """What a benchmark measures: the first sentence of its module."""
    path = HERE / f"{name}.py"
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(said.partition("\n\n")[0].split())


def page(runs: Sequence[Mapping[str, Any]]) -> str:
    """The page of all runs."""
    parts = [HEAD]
    for run in runs:
        words = " ".join(["python", f"benchmarks/{run['benchmark']}.py", *run["options"]])
        parts.append(f"## {run['benchmark']}\n\n{purpose(run['benchmark'])}\n")
        parts.append(
            f"`{words}`, {run['at'][:10]}, commit {run['commit'] or 'unknown'}, Python "
            f"{run['python']}, {run['cores']} cores ({run['machine']}), load {run['load']}\n"
        )
        for shown in run["tables"]:
            parts.append(f"**{shown['title']}**\n\n{table(shown['columns'], shown['rows'])}\n")
    if not runs:
        parts.append("There are no runs yet.\n")
    return "\n".join(parts)


def filled(text: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """A page of the docs with the tables of whole runs in their places.

    Args:
        text: The page.
        runs: What there is; a place without a run keeps what it has.
    """
    whole = {run["benchmark"]: run["tables"] for run in runs if not run["options"]}

    def put(slot: re.Match[str]) -> str:
        tables, number = whole.get(slot["name"]), int(slot["number"])
        if tables is None:
            return slot[0]
        if number > len(tables):
            raise SystemExit(
                f"{slot['name']} printed {len(tables)} tables, so there is no {number}"
            )
        shown = tables[number - 1]
        return f"{slot[1]}{table(shown['columns'], shown['rows'])}\n{slot[4]}"

    return _SLOT.sub(put, text)


def pages(runs: Sequence[Mapping[str, Any]]) -> dict[Path, str]:
    """All files that have figures of runs, as they should be."""
    docs = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
    slots = {path: filled(text, runs) for path, text in docs.items() if _SLOT.search(text)}
    return {PAGE: page(runs), **slots}


def main() -> None:
    """Writes them."""
    for path, text in pages(read(FOLDER)).items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(HERE.parent)}\n")


if __name__ == "__main__":
    main()
