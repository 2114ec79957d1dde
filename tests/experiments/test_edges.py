"""The decision at its edges: what just wins, what just doesn't, and when a limit just holds."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allotrope.experiments.analysis import answered_items, breached
from allotrope.experiments.dataset import Item
from allotrope.experiments.decision import Comparison, Estimate, decide
from allotrope.experiments.definition import Experiment, GuardRail, Metric, Variant
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.results import Result, Run
from allotrope.experiments.offline.runner import OfflineRunner
from allotrope.experiments.online.traffic import traffic_breaches
from allotrope.experiments.stats.sequential import FRACTIONS, Interval, difference_stream

ALPHA = 0.05
ABOVE = math.nextafter(ALPHA, 1)


def experiment(metric: str = "cost_usd", *variants: str, **changes: Any) -> Experiment:
    names = ("plain", *(variants or ("warm",)))
    document = {
        "name": "tone",
        "kind": "online",
        "variants": [{"name": name, "share": 1 / len(names)} for name in names],
        "metrics": [{"name": metric}],
    }
    return Experiment.model_validate(document | changes)


def row(
    variant: str = "warm", *, fixed: float = 1.0, always: float = 1.0, effect: float = -0.1,
    effect_fixed: float | None = None, direction: int | None = None, metric: str = "cost_usd",
) -> Comparison:  # fmt: skip
    """A comparison with corrected p-values; uncorrected ones decide nothing."""

    def interval(estimate: float) -> Interval:
        towards = (estimate > 0) - (estimate < 0) if direction is None else direction
        return Interval(estimate, -1.0, 1.0, 0.5, 100, "", towards)

    at_once = interval(effect if effect_fixed is None else effect_fixed)
    return Comparison(metric, variant, at_once, interval(effect), fixed, always)


def failing(plain: float, **others: float) -> Mapping[str, Mapping[str, Estimate]]:
    rates = {"plain": plain, **others}
    return {"error_rate": {name: Estimate(rate, 0, 1, 100) for name, rate in rates.items()}}


def winner(
    *rows: Comparison, final: bool = False, units: int = 100,
    estimates: Mapping[str, Mapping[str, Estimate]] | None = None,
    stopped: Sequence[str] = (), asked: Experiment | None = None,
) -> tuple[str | None, str]:  # fmt: skip
    others = list(dict.fromkeys(one.variant for one in rows))
    return decide(
        asked or experiment("cost_usd", *others), rows, estimates or failing(0.0),
        final=final, units=units, called="units", stopped=dict.fromkeys(stopped, "bad"),
    )  # fmt: skip


@pytest.mark.parametrize("final", [False, True])
def test_a_p_value_of_just_alpha_wins_and_one_above_does_not(final: bool) -> None:
    """And only the one that counts: corrected, of one look or of all."""
    other = "always" if final else "fixed"
    counts = "fixed" if final else "always"
    assert winner(row(**{counts: ALPHA, other: 1.0}), final=final)[0] == "warm"
    found, said = winner(row(**{counts: ABOVE, other: 0.0}), final=final)
    assert found is None
    assert ("so far" in said) is not final
    strict = experiment(stop={"alpha": 0.01})
    assert winner(row(**{counts: 0.011, other: 0.0}), final=final, asked=strict)[0] is None


def test_the_verdict_names_the_evidence_and_the_effect_that_counted() -> None:
    one = row(always=0.01, fixed=0.02, effect=-0.25, effect_fixed=-0.5)
    assert winner(one)[1].endswith("-0.25 (always-valid p = 0.01, corrected for 1 comparisons).")
    assert winner(one, final=True)[1].endswith("-0.5 (p = 0.02, corrected for 1 comparisons).")


def test_a_mean_that_is_zero_today_wins_nothing() -> None:
    found, said = winner(row(always=0.001, effect=0.0, direction=-1))
    assert (found, "today's mean" in said) == (None, True)
    # nor does evidence that speaks for neither side
    assert winner(row(always=0.001, effect=0.0, direction=0))[0] is None


def test_as_many_units_as_asked_are_enough() -> None:
    asked = experiment(stop={"min_units": 30})
    assert winner(row(always=0.01), units=30, asked=asked)[0] == "warm"
    assert winner(row(always=0.01), units=29, asked=asked) == (
        None, "29 units are too few to judge; the file asks for 30.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "plain", "warm", "wins"),
    [
        (0.125, 0.125, 0.25, True),
        (0.125, 0.125, 0.250001, False),
        (0.01, 0.04, 0.05, True),  # 0.05 - 0.04 is a little more than 0.01, in floats
        (0.01, 0.02, 0.03, True),
        (0.0, 0.3, 0.3, True),
        (0.0, 0.3, 0.31, False),
        (0.01, 0.5, 0.0, True),
    ],
)
def test_a_winner_may_fail_more_by_just_so_much(
    more: float, plain: float, warm: float, wins: bool
) -> None:
    asked = experiment(stop={"max_error_increase": more})
    found, _ = winner(row(always=0.01), asked=asked, estimates=failing(plain, warm=warm))
    assert (found == "warm") is wins
    # failures are the metric itself here, so they don't count twice
    rate = experiment("error_rate", stop={"max_error_increase": more})
    one = row(always=0.01, metric="error_rate")
    assert winner(one, asked=rate, estimates=failing(plain, warm=warm))[0] == "warm"


def test_unknown_failures_forbid_nothing() -> None:
    assert winner(row(always=0.01), estimates={"error_rate": {}})[0] == "warm"


def test_of_several_the_best_by_the_effect_that_counts() -> None:
    warm = row("warm", fixed=0.01, always=0.01, effect=-0.3, effect_fixed=-0.1)
    hot = row("hot", fixed=0.01, always=0.01, effect=-0.1, effect_fixed=-0.3)
    assert winner(warm, hot)[0] == "warm"
    assert winner(warm, hot, final=True)[0] == "hot"
    assert winner(warm, hot, stopped=["warm"])[0] == "hot"
    assert "corrected for 1 comparisons" in winner(warm, hot, stopped=["warm"])[1]
    assert winner(warm, hot, stopped=["warm", "hot"]) == (
        None, "Every variant was stopped; plain stays.",
    )  # fmt: skip


def test_every_variant_is_worse_only_where_each_is_shown_to_be() -> None:
    bad, worse = row("warm", always=0.01, effect=0.2), row("hot", always=0.01, effect=0.3)
    assert "every variant is worse" in winner(bad, worse)[1]
    assert "every variant is worse" not in winner(bad, row("hot", effect=0.3))[1]
    better = row("hot", always=0.01, effect=-0.1)
    assert winner(bad, better)[0] == "hot"


def above(excess: Sequence[Fraction | float], low: Fraction | float) -> list[float]:
    """The wealth after each value of betting on a mean above zero, in fractions: the capital
    process of Waudby-Smith and Ramdas (JRSS-B 2024), one-sided, over a mixture of stakes."""
    paths = [
        list(accumulate((1 + Fraction(f) * v / -low for v in excess), lambda a, b: a * b))
        for f in FRACTIONS
    ]
    return [float(sum(at) / len(paths)) for at in zip(*paths, strict=True)]


def first_above(excess: Sequence[Fraction | float], low: Fraction | float, bar: float) -> int:
    """After how many values such a bet has won so much."""
    return next(n for n, wealth in enumerate(above(excess, low), start=1) if wealth >= bar)


LIMITS = [
    ({"max": 0.25}, Fraction(1, 4), Fraction(0), (0, 1)),
    ({"max_increase": 0.125}, Fraction(1, 8), Fraction(1), (0, 1)),
    ({"max_ratio": 1.5}, Fraction(0), Fraction(3, 2), (0, 1)),
    ({"max": 0.5}, Fraction(1, 2), Fraction(0), (-1, 2)),
    ({"max_ratio": 1.25}, Fraction(0), Fraction(5, 4), (-1, 2)),
]


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
@pytest.mark.parametrize(("rail", "allowed", "ratio", "ends"), LIMITS)
def test_a_limit_is_broken_once_a_bet_on_it_has_won_one_over_alpha(
    rail: dict[str, float], allowed: Fraction, ratio: Fraction, ends: tuple[int, int], alpha: float
) -> None:
    low, high = ends
    metric = Metric(name="error_rate", low=low, high=high)
    limit = GuardRail(metric="error_rate", **rail)
    variant = [Fraction(n % 9 > 0) for n in range(80)]
    control = [Fraction(n % 5 == 0) for n in range(80)]
    excess = [x - ratio * y - allowed for x, y in zip(variant, control, strict=True)]
    expected = first_above(excess, low - ratio * high - allowed, 1 / alpha)
    assert 3 < expected < 80
    for n in range(1, 80):
        x, y = [float(v) for v in variant[:n]], [float(v) for v in control[:n]]
        said = breached(limit, metric, x, y, alpha)
        assert (said is not None) is (n >= expected), n  # and broken it stays
    assert breached(limit, metric, [0.0] * 80, [1.0] * 80, alpha) is None  # too little never is
    assert breached(limit, metric, [], [], alpha) is None


@pytest.mark.parametrize("alpha", [0.05, 0.0125, 0.4])
def test_a_limit_without_a_range_is_broken_by_the_one_sided_mixture(alpha: float) -> None:
    """The asymptotic confidence sequence, two-sided at twice alpha, tightest at 200."""
    limit, metric = GuardRail(metric="latency_ms", max=100.0), Metric(name="latency_ms")
    slow = np.random.default_rng(8).normal(104.0, 20.0, 400)
    both = min(0.5, 2 * alpha)
    log = -2 * math.log(both)
    rho2 = (log + math.log(log + 1)) / 200
    broken = []
    for n in range(50, 400):
        scaled = n * rho2 + 1
        width = math.sqrt(2 * scaled / (n * n * rho2) * math.log(math.sqrt(scaled) / both))
        x = slow[:n]
        expected = bool(x.mean() - x.std(ddof=1) * width > 100.0)
        assert (breached(limit, metric, x.tolist(), x.tolist(), alpha) is not None) is expected
        broken.append(expected)
    assert set(broken) == {True, False}
    assert breached(limit, metric, [1e6] * 49, [1.0] * 49, alpha) is None  # it needs fifty
    more = GuardRail(metric="latency_ms", max_increase=10.0)
    assert breached(more, metric, (slow + 13).tolist(), slow.tolist(), alpha) is not None
    assert breached(more, metric, (slow + 9).tolist(), slow.tolist(), alpha) is None
    ratio = GuardRail(metric="latency_ms", max_ratio=2.0)
    assert breached(ratio, metric, (slow * 2.1).tolist(), slow.tolist(), alpha) is not None
    assert breached(ratio, metric, (slow * 1.9).tolist(), slow.tolist(), alpha) is None


RAILS = [{"metric": "error_rate", "max": 0.75}, {"metric": "latency_ms", "max": 1e9}]


@pytest.mark.parametrize(("rails", "variants"), [(1, 1), (2, 1), (1, 2), (2, 2)])
async def test_each_limit_of_each_variant_gets_its_part_of_alpha(
    tmp_path: Path, rails: int, variants: int
) -> None:
    others = ("warm", "hot")[:variants]
    expected = first_above([Fraction(1, 4)] * 90, Fraction(-3, 4), rails * variants / ALPHA)
    items = [Item(f"i{n}", "question", "yes") for n in range(60)]

    async def subject(item: Item, variant: Variant, *, repeat: int) -> Outcome:
        if variant.name == "warm":
            raise RuntimeError("500")
        return Outcome("yes")

    offline = experiment(
        "right", *others, kind="offline", dataset={"path": "d"}, guard_rails=RAILS[:rails],
        metrics=[{"name": "right", "scorer": {"kind": "exact"}}],
    )  # fmt: skip
    run = await OfflineRunner(offline, items, subject, tmp_path / "r", concurrency=1).run()
    assert run.stopped_variants == {
        "warm": f"error_rate is 1 after {expected} items; at most 0.75 is allowed"
    }
    online = experiment("feedback", *others, guard_rails=RAILS[:rails])
    for n in (expected - 1, expected):
        stopped = traffic_breaches(online, seen({"error_rate": [1.0] * n}))
        assert stopped == (
            {"warm": f"error_rate is 1 after {n} units; at most 0.75 is allowed"}
            if n == expected
            else {}
        )


def seen(warm: Mapping[str, Sequence[float]], plain: Mapping[str, Sequence[float]] = {}) -> Run:
    """Traffic of two arms that take turns."""
    found = Run(header={"items": []})
    arms = [(name, values) for name, values in (("warm", warm), ("plain", plain)) if values]
    for n in range(max(len(next(iter(values.values()))) for _, values in arms)):
        for name, values in arms:
            scores = {metric: given[n] for metric, given in values.items() if n < len(given)}
            result = Result(f"{name}{n}", name, 0, Outcome(""), scores)
            found.results[result.key] = result
    return found


@pytest.mark.parametrize(
    ("rail", "ratio", "more"), [({"max_increase": 0.25}, 1.0, 0.25), ({"max_ratio": 1.5}, 1.5, 0.0)]
)
def test_limits_of_traffic_compare_with_the_control(
    rail: dict[str, float], ratio: float, more: float
) -> None:
    asked = experiment("feedback", guard_rails=[{"metric": "error_rate", **rail}])
    warm = [float(n % 7 > 0) for n in range(120)]
    plain = [float(n % 4 == 0) for n in range(120)]
    values = [v for pair in zip(warm, (ratio * v for v in plain), strict=True) for v in pair]
    stream, bound = difference_stream(values, [True, False] * 120, share=0.5, low=0, high=ratio)
    wealth = above([float(v) - more for v in stream], -bound - more)
    states = []
    for n in range(1, 120, 4):
        run = seen({"error_rate": warm[:n]}, {"error_rate": plain[:n]})
        broken = bool(traffic_breaches(asked, run))
        largest = max(wealth[: 2 * n])
        if abs(largest * ALPHA - 1) > 0.01:  # the interval's end is found to five digits
            assert broken is (largest >= 1 / ALPHA), n
        states.append(broken)
    assert set(states) == {True, False}


async def test_an_early_end_needs_every_variants_part_of_alpha(tmp_path: Path) -> None:
    items = [Item(f"i{n}", "question", "yes") for n in range(60)]

    async def subject(item: Item, variant: Variant, *, repeat: int) -> Outcome:
        return Outcome("yes" if variant.name == "warm" else "no")

    for others, fewest in ((("warm",), 2), (("warm", "hot"), 2), (("warm",), 40)):
        # every pair differs by one, in a range from -1 to 1; two-sided
        enough = first_above([Fraction(1)] * 60, Fraction(-1), 2 * len(others) / ALPHA)
        asked = experiment(
            "right", *others, kind="offline", dataset={"path": "d"},
            metrics=[{"name": "right", "scorer": {"kind": "exact"}}],
            stop={"early": True, "min_units": fewest},
        )  # fmt: skip
        path = tmp_path / f"{len(others)}-{fewest}"
        run = await OfflineRunner(asked, items, subject, path, concurrency=1).run()
        pairs = answered_items(run, ("warm", "plain"), repeats=1)
        assert len(pairs) == max(enough, fewest)
        assert run.events[-1]["reason"] == "right is decided for warm"
