"""The one form of all benchmarks: arguments, interleaved rounds, a table, and JSON."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SHOWN: list[dict[str, Any]] = []
"""The tables of this run, as they were printed: `title`, `columns`, `rows`."""


def arguments(description: str, **data_default: Path | None) -> argparse.ArgumentParser:
    """A parser with the options every benchmark has: `--data`, `--json`, `--quick`.

    Args:
        description: What is measured, one sentence.
        data_default: `data=PATH` where the benchmark reads a file by default.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=data_default.get("data"), metavar="FILE")
    parser.add_argument("--json", type=Path, default=None, metavar="OUT", help="results as JSON")
    parser.add_argument("--quick", action="store_true", help="a small run that ends in seconds")
    return parser


def shared_data(name: str) -> Path:
    """Where the shared benchmark data lies beside the project (never part of it)."""
    return Path(__file__).resolve().parents[1].parent / "shared" / "data" / name


def spread(samples: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile, and the interquartile range of samples."""
    ordered = sorted(samples)
    if len(ordered) == 1:
        return {"p50": ordered[0], "p95": ordered[0], "p99": ordered[0], "iqr": 0.0, "n": 1}
    cuts = statistics.quantiles(ordered, n=100, method="inclusive")
    return {
        "p50": cuts[49],
        "p95": cuts[94],
        "p99": cuts[98],
        "iqr": cuts[74] - cuts[24],
        "n": len(ordered),
    }


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table, and keeps it for `write_json`; numbers are right-aligned."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    cells = [
        [f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows
    ]
    for row in cells:
        table.add_row(*row)
    SHOWN.append({"title": title, "columns": list(columns), "rows": cells})
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def write_json(path: Path | None, name: str, results: Any) -> None:
    """Writes the results and what `_results.py` makes a page of, where a path was given."""
    if path is None:
        return
    chosen = _chosen(sys.argv[1:])
    document = {
        "benchmark": name,
        "options": chosen,
        "quick": "--quick" in chosen,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[2], 1),
        "tables": SHOWN,
        "results": results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _chosen(words: Sequence[str]) -> list[str]:
    """The options of a run, without paths: those are the machine's own."""
    left, skipped = [], False
    for word in words:
        is_path = skipped or "/" in word or word.startswith(("--json", "--data"))
        skipped = word in ("--json", "--data")
        if not is_path:
            left.append(word)
    return left


def _commit() -> str:
    """The commit that ran, with a `+` where files differ from it; empty outside a clone."""
    run = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    return subprocess.run(run, capture_output=True, text=True, check=False).stdout.strip()


@contextmanager
def provider_process(*options: str) -> Iterator[dict[str, str]]:
    """The provider simulator in a process of its own, so that its work isn't counted as ours.

    Args:
        options: More arguments of `python -m allotrope.testing`.

    Yields:
        The variables that point clients to it.
    """
    command = [sys.executable, "-m", "allotrope.testing", "--until-stdin-closes", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        try:
            yield dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
        finally:
            process.stdin.close()
            process.wait(10)
