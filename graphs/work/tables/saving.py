"""Saving what an analyst made: the queries, the table, the chart."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from allotrope.graphs.work.tables import chart as charts

_NUMBER = re.compile(r"[+-]?(?:\d[\d,._' ]*|\.\d+)(?:[eE][+-]?\d+)?%?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""Beginnings of a formula; spreadsheets take the full-width ones too."""


def harmless_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: text that looks like one gets a `'` in front.

    Numbers stay as they are, also where they came as text (`-5`, `+1.5e3`).

    Args:
        value: The cell. See OWASP, CSV injection.
    """
    if not isinstance(value, str) or not value.lstrip(" \n").startswith(_FORMULA):
        return value
    return value if _NUMBER.fullmatch(value.strip()) else f"'{value}"


def save(
    folder: Path, results: Sequence[Mapping[str, Any]], *, chart: Any, name: str = "chart"
) -> list[str]:
    """Writes `query.sql`, `result.csv` and the chart; blocks.

    Args:
        folder: Where to; made when it isn't there.
        results: What the queries gave; the last one is the table.
        chart: What `tables.chart.choose` chose, or None.
        name: The chart's file name without suffix.

    Returns:
        The paths of what was written.

    Raises:
        OSError: It can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = results[-1]
    saved = [folder / "query.sql", folder / "result.csv"]
    saved[0].write_text("\n\n".join(f"{one['sql']};" for one in results) + "\n", encoding="utf-8")
    with saved[1].open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([harmless_cell(column) for column in last["columns"]])
        writer.writerows([harmless_cell(cell) for cell in row] for row in last["rows"])
    if chart is not None:
        saved += charts.draw(chart, last["columns"], last["rows"], folder=folder, name=name)
    return [str(path) for path in saved]
