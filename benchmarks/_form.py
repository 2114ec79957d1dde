"""The one form of all benchmarks: arguments, interleaved rounds, a table, and JSON."""

import argparse
import json
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
    """Prints a table; numbers are right-aligned."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def write_json(path: Path | None, name: str, results: Any) -> None:
    """Writes the results with the machine's kind and the date, where a path was given."""
    if path is None:
        return
    document = {
        "benchmark": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "results": results,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


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
