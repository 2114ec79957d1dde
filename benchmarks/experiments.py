"""False wins and power of the experiments' statistics, beside a t-test that is looked at each time.

Each run is looked at after every observation. Under no difference at most 5 % of the runs may ever
call a winner; of runs with a real effect, 80 % must by the planned number of items.
"""

import math
import time

import numpy as np
from _form import arguments, show, write_json

from allotrope.experiments.stats.power import paired_plan, stopping_times, three_points
from allotrope.experiments.stats.sequential import (
    BURN_IN,
    difference_stream,
    normal_mixture_width,
    running_z,
    sequential_p,
)

ALPHA = 0.05
CHUNK = 250


def false_wins(runs: int, looks: int, deviation: float, seed: int) -> tuple[float, float]:
    """Shares of runs without a difference that ever win: ours, and a peeked-at z-test."""
    rng = np.random.default_rng(seed)
    ours = peeked = 0
    for _ in range(runs // CHUNK):
        values = three_points(effect=0, deviation=deviation, size=(CHUNK, looks), rng=rng)
        ours += int((sequential_p(values, low=-1, high=1)[:, -1] <= ALPHA).sum())
        z, _ = running_z(values)
        peeked += int((np.abs(z[:, 9:]) > 1.96).any(axis=1).sum())
    return ours / runs, peeked / runs


def skewed_wins(runs: int, looks: int, seed: int) -> tuple[float, float]:
    """The same for costs without a range (log-normal), by the normal mixture."""
    rng = np.random.default_rng(seed)
    ours = peeked = 0
    for _ in range(runs // CHUNK):
        costs = rng.lognormal(0, 1, (2, CHUNK, looks))
        z, n = running_z(costs[0] - costs[1])
        bar = normal_mixture_width(n, alpha=ALPHA, target=500) * np.sqrt(n)
        ours += int((np.abs(z) > bar)[:, BURN_IN - 1 :].any(axis=1).sum())
        peeked += int((np.abs(z[:, 9:]) > 1.96).any(axis=1).sum())
    return ours / runs, peeked / runs


def traffic_wins(runs: int, looks: int, seed: int) -> float:
    """The same for two groups of users with unequal shares, yes/no feedback."""
    rng = np.random.default_rng(seed)
    streams = np.empty((runs, looks))
    bound = 1.0
    for run in range(runs):
        values = (rng.random(looks) < 0.3).astype(float).tolist()
        treated = (rng.random(looks) < 0.2).tolist()
        streams[run], bound = difference_stream(values, treated, share=0.2, low=0, high=1)
    return float((sequential_p(streams, low=-bound, high=bound)[:, -1] <= ALPHA).mean())


def power_of(effect: float, deviation: float, runs: int, seed: int) -> dict[str, float]:
    """What the planned numbers of items really find."""
    plan = paired_plan(effect=effect, deviation=deviation)
    assert plan.n_sequential is not None
    rng = np.random.default_rng(seed)
    found = fixed = 0
    times = []
    for _ in range(runs // CHUNK):
        size = (CHUNK, plan.n_sequential)
        values = three_points(effect=effect, deviation=deviation, size=size, rng=rng)
        stops = stopping_times(values, alpha=ALPHA)
        times += stops.tolist()
        found += int(np.isfinite(stops).sum())
        early = values[:, : plan.n_fixed]
        z = early.mean(axis=1) / (early.std(axis=1, ddof=1) / math.sqrt(plan.n_fixed))
        fixed += int((z > 1.96).sum())
    return {
        "effect": effect, "deviation": deviation, "n_fixed": plan.n_fixed,
        "n_sequential": plan.n_sequential, "found_fixed": fixed / runs,
        "found_sequential": found / runs, "median_stop": float(np.median(times)),
    }  # fmt: skip


def main() -> None:
    """Prints both tables."""
    args = arguments(__doc__ or "").parse_args()
    runs, looks = (500, 300) if args.quick else (10_000, 500)
    began = time.process_time()
    rows: list[tuple[str, float, float | str]] = []
    for deviation in (0.3, 0.7, 1.0):
        ours, peeked = false_wins(runs, looks, deviation, seed=1)
        rows.append((f"paired scores, deviation {deviation:g} (betting)", ours, peeked))
    rows.append(("paired costs, log-normal (normal mixture)", *skewed_wins(runs, looks, seed=2)))
    traffic = traffic_wins(min(runs, 2_000), looks, seed=3)
    rows.append(("two groups 20:80, yes/no (betting)", traffic, "–"))
    show(
        f"False wins in {runs:,} runs without a difference, looked at {looks:,} times (≤ 0.05)",
        ("what", "ours", "z-test at each look"),
        rows,
    )
    found = [power_of(e, d, runs, seed=4) for e, d in ((0.3, 0.7), (0.15, 0.5), (0.1, 0.5))]
    show(
        "Real effects found by the planned number of items (promised 0.8)",
        list(found[0]),
        [list(row.values()) for row in found],
    )
    print(f"{time.process_time() - began:.0f} s of one core")
    write_json(args.json, "experiments", {"false_wins": rows, "power": found, "runs": runs})


if __name__ == "__main__":
    main()
