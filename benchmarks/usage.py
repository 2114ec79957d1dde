"""Usage: what recording costs a call, how fast reports are, and whether books and budgets hold.

    python benchmarks/usage.py [--only PART …] [--quick] [--json OUT]

Four parts: `overhead` (the recorder's share of a call, against no handler, one that does nothing
and LangChain's own `UsageMetadataCallbackHandler`), `reports` (reports and the dashboard's queries
over 10⁴ to 10⁶ rows), `overshoot` (a budget with 100 concurrent calls from two processes) and
`accounting` (the ledger against the simulator's books across a `kill -9`).
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _form import arguments, show, write_json


def _overhead(folder: Path, quick: bool) -> Any:
    from _usage_overhead import overhead

    found = overhead(folder, calls=200 if quick else 1_000, rounds=5 if quick else 15)
    show(
        "What recording adds to a call (µs, median of rounds)",
        ("handler", "call", "added", "added, CPU time"),
        [
            (n, found["call_us"][n], found["added_us"][n], found["added_cpu_us"][n])
            for n in found["call_us"]
        ]
        + [("UsageRecorder's own code", "", found["handler_alone_us"], "")],
    )
    return found


def _reports(folder: Path, quick: bool) -> Any:
    from _usage_reports import report_times

    found = report_times(folder, [10_000] if quick else [10_000, 100_000, 1_000_000])
    questions = [name for name in found[0] if name not in ("rows", "written_per_s")]
    show(
        "Reports and queries (ms on the wall, median of 7; in brackets CPU time)",
        ("calls in the ledger", *(f"{line['rows']:,}" for line in found)),
        [
            (name, *(f"{line[name]['wall']:.1f} ({line[name]['cpu']:.1f})" for line in found))
            for name in questions
        ]
        + [("written per second", *(f"{line['written_per_s']:,}" for line in found))],
    )
    return found


def _overshoot(folder: Path, quick: bool) -> Any:
    from _usage_budgets import overshoot

    found = overshoot(folder, calls=200 if quick else 1_000)
    shown = {k: v for k, v in found.items() if k != "reserve_us"}
    shown["reserve_us_p50"] = round(found["reserve_us"]["p50"])
    show("Budget with 100 concurrent calls from two processes", ("what", ""), [*shown.items()])
    return found


def _accounting(folder: Path, quick: bool) -> Any:
    from _usage_accounting import accounting

    found = accounting(folder, calls=200 if quick else 10_000, concurrency=20 if quick else 50)
    shown = {k: json.dumps(v) for k, v in found.items() if k != "after_the_kill"}
    shown |= {f"after the kill: {k}": json.dumps(v) for k, v in found["after_the_kill"].items()}
    show("The ledger against the simulator's books", ("what", ""), [*shown.items()])
    return found


PARTS: dict[str, Callable[[Path, bool], Any]] = {
    "overhead": _overhead,
    "reports": _reports,
    "overshoot": _overshoot,
    "accounting": _accounting,
}


def main() -> None:
    """Runs the parts asked for, by default all."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", nargs="+", choices=[*PARTS], default=[*PARTS], metavar="PART")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for part in options.only:
        with tempfile.TemporaryDirectory(prefix="alt-") as name:
            results[part] = PARTS[part](Path(name), options.quick)
    write_json(options.json, "usage", results)


if __name__ == "__main__":
    sys.exit(main())
