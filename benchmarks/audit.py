"""Conversations under random faults, and then the books: what was lost, doubled, crossed, unpaid?

Each run has conversations of two tenants, and a third whose budget runs dry, through `Agent` in two
processes and through `allotrope serve` in two more, several turns of a thread at once. Meanwhile
the provider fails and breaks off, Redis and PostgreSQL restart and stand still, the disk is full,
and processes are killed and paused. Half of a seed's conversations are kept in SQLite, half in
PostgreSQL (`--quick`: all). A seed gives the same plan again; what meets what is up to the machine.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _form
from _audit_books import CHECKS, violations
from _audit_plan import make_plan
from _audit_stage import Stage
from _postgres import postgres_binaries

SEEDS = (1, 2, 3)


def audit(
    seed: int, store: str, *, conversations: int, parallel: int, facts_to: Path | None = None
) -> dict[str, Any]:
    """One run and its violations."""
    plan = make_plan(seed, store, conversations=conversations)
    stage = Stage(plan, parallel=parallel, patience_s=120.0, logs=facts_to)
    facts = asyncio.run(stage.run())
    found = violations(facts)
    if facts_to is not None:
        text = json.dumps(asdict(facts), indent=1)
        (facts_to / f"{seed}.{store}.json").write_text(text, encoding="utf-8")
    return {
        "seed": seed,
        "store": store,
        "counts": facts.counts,
        "violations": {name: len(said) for name, said in found.items()},
        "said": {name: said[:30] for name, said in found.items() if said},
    }


def show(runs: list[dict[str, Any]]) -> None:
    """Prints a column a run."""
    columns = [f"seed {run['seed']}, {run['store']}" for run in runs]
    rows = [[text, *(run["violations"][name] for run in runs)] for name, text in CHECKS.items()]
    _form.show("Violations", ("", *columns), rows)
    names = list(dict.fromkeys(name for run in runs for name in run["counts"]))
    counts = [[name, *(run["counts"].get(name, 0) for run in runs)] for name in names]
    _form.show("What happened", ("", *columns), counts)
    for run in runs:
        for name, said in run["said"].items():
            for one in said:
                print(f"seed {run['seed']}, {run['store']}, {name}: {one}")


def main() -> int:
    """Runs the audit; 1 where there is a violation."""
    parser = _form.arguments(__doc__ or "")
    parser.add_argument("--seed", type=int, action="append", help="only this one; may be repeated")
    parser.add_argument("--store", choices=("sqlite", "postgres"), help="only this one")
    parser.add_argument("--facts", type=Path, metavar="FOLDER", help="for what was seen, and logs")
    parser.add_argument("--conversations", type=int, default=None, help="of a seed")
    options = parser.parse_args()
    seeds = options.seed or (SEEDS[:1] if options.quick else SEEDS)
    stores = [options.store] if options.store else ["sqlite", "postgres"]
    if postgres_binaries() is None and "postgres" in stores:
        print("There is no PostgreSQL server here: nothing is run on one.", file=sys.stderr)
        stores.remove("postgres")
    if options.quick:
        stores = stores[-1:]
    wanted = options.conversations or (30 if options.quick else 1_000)
    if options.facts is not None:
        options.facts.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in seeds:
        for store in stores:
            began = time.perf_counter()
            runs.append(
                audit(
                    seed,
                    store,
                    conversations=wanted // len(stores),
                    parallel=8 if options.quick else 24,
                    facts_to=options.facts,
                )
            )
            took_s = time.perf_counter() - began
            print(f"seed {seed}, {store}: {took_s:.0f} s", file=sys.stderr)
    show(runs)
    _form.write_json(options.json, "audit", runs)
    return int(any(count for run in runs for count in run["violations"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
