"""The offline runner: complete, resumable, within its budget, and what its results say."""

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from allotrope.exceptions import BudgetExceededError, InputError, ProviderTimeoutError, StoreError
from allotrope.experiments.analysis import analyse
from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Experiment, Variant
from allotrope.experiments.offline.judge import Said, live_template
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.report import as_document, html_page, markdown
from allotrope.experiments.offline.results import ResultsFile, read_run
from allotrope.experiments.offline.runner import OfflineRunner, Progress


def experiment(**changes: Any) -> Experiment:
    document: dict[str, Any] = {
        "name": "sums",
        "description": "Which <b>one</b>?",
        "variants": [{"name": "old", "share": 0.5}, {"name": "new", "share": 0.5}],
        "dataset": {"path": "d.jsonl", "repeats": 2},
        "metrics": [{"name": "right", "scorer": {"kind": "exact"}}],
        "stop": {"min_units": 5},
    }
    return Experiment.model_validate(document | changes)


ITEMS = [Item(f"i{n}", f"question {n}", "yes") for n in range(30)]


class Subject:
    """Answers right with a chance per variant; counts its calls."""

    def __init__(self, *, cost: str = "0.01", latency: dict[str, float] | None = None) -> None:
        self.calls: list[tuple[str, str, int]] = []
        self.cost = Decimal(cost)
        self.latency = latency or {}
        self.most_at_once = 0
        self._now = 0

    async def __call__(self, item: Item, variant: Variant, *, repeat: int) -> Outcome:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        self.calls.append((item.id, variant.name, repeat))
        right = variant.name == "new" or int(item.id[1:]) % 2 == 0
        return Outcome(
            "yes" if right else "no",
            usage={"input_tokens": 10, "output_tokens": 2},
            cost_usd=self.cost,
            latency_ms=self.latency.get(variant.name, 100.0) + int(item.id[1:]) % 7,
            provenance={"provider": "test", "model": "m", "cached": None},
        )


async def test_a_whole_run(tmp_path: Path) -> None:
    subject, seen = Subject(), list[Progress]()
    path = tmp_path / "r.jsonl"
    runner = OfflineRunner(
        experiment(), ITEMS, subject, path, concurrency=4, on_progress=seen.append
    )
    run = await runner.run()
    assert sorted(subject.calls) == sorted(
        (item.id, v, r) for item in ITEMS for v in ("old", "new") for r in (0, 1)
    )
    assert 1 < subject.most_at_once <= 4
    assert (seen[-1].done, seen[-1].total) == (120, 120)
    assert run.spent == Decimal("1.20")
    assert read_run(path).results == run.results
    analysis = analyse(experiment(), run)
    assert analysis.complete
    assert analysis.winner == "new"
    row = next(c for c in analysis.comparisons if c.metric == "right")
    assert row.fixed.estimate == 0.5
    assert row.fixed.n == 30  # items, not answers: repeats are no independent evidence
    assert row.p_always < 0.05
    assert analysis.estimates["right"]["old"].mean == 0.5


async def test_a_crash_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    class Hanging(Subject):
        async def __call__(self, item: Item, variant: Variant, *, repeat: int) -> Outcome:
            if len(self.calls) == 17:
                hangs.set()
                await asyncio.Event().wait()
            return await super().__call__(item, variant, repeat=repeat)

    hangs = asyncio.Event()
    runner = OfflineRunner(experiment(), ITEMS, Hanging(), path, concurrency=1)
    task = asyncio.create_task(runner.run())
    await hangs.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    done = set(read_run(path).results)
    assert len(done) == 17
    with path.open("ab") as file:
        file.write(b'{"type": "result", "item": "i2", "vari')  # the machine went down here
    assert len(read_run(path).results) == 17
    again = Subject()
    run = await OfflineRunner(experiment(), ITEMS, again, path).run()
    assert len(again.calls) == 120 - 17
    assert not done & set(again.calls)
    assert len(run.results) == 120
    assert [event["event"] for event in run.events] == ["resumed", "end"]
    finished = Subject()
    await OfflineRunner(experiment(), ITEMS, finished, path).run()
    assert finished.calls == []


async def test_a_changed_definition_or_dataset_does_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    await OfflineRunner(experiment(), ITEMS, Subject(), path).run()
    changed = experiment(metrics=[{"name": "right", "scorer": {"kind": "regex", "pattern": "y"}}])
    with pytest.raises(InputError, match="another form of sums"):
        await OfflineRunner(changed, ITEMS, Subject(), path).run()
    with pytest.raises(InputError, match="another form of sums"):
        await OfflineRunner(experiment(), ITEMS[:5], Subject(), path).run()


async def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ResultsFile(path), pytest.raises(StoreError, match="Another run"):
        await OfflineRunner(experiment(), ITEMS, Subject(), path).run()


async def test_a_broken_results_file_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"type": "head\n{"type": "event", "event": "end"}\n')
    with pytest.raises(InputError, match=r"r\.jsonl:1: this line is broken"):
        await OfflineRunner(experiment(), ITEMS, Subject(), path).run()
    path.write_text('{"type": "result"}\n')
    with pytest.raises(InputError, match=r"r\.jsonl:1"):
        read_run(path)


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_the_cost_cap_holds(tmp_path: Path, concurrency: int) -> None:
    capped = experiment(stop={"max_cost_usd": 0.25})
    subject = Subject()
    run = await OfflineRunner(
        capped, ITEMS, subject, tmp_path / "r.jsonl", concurrency=concurrency
    ).run()
    assert run.spent == Decimal("0.25")
    assert "cost cap" in run.events[-1]["reason"]
    analysis = analyse(capped, run)
    assert not analysis.complete
    assert any("planned answers" in warning for warning in analysis.warnings)


async def test_an_unknown_price_stops_a_capped_run(tmp_path: Path) -> None:
    async def unpriced(item: Item, variant: Variant, *, repeat: int) -> Outcome:
        return Outcome("yes", cost_usd=None)

    run = await OfflineRunner(
        experiment(stop={"max_cost_usd": 1}), ITEMS, unpriced, tmp_path / "r.jsonl"
    ).run()
    assert len(run.results) == 1
    assert "no known price" in run.events[-1]["reason"]


async def test_an_outage_pauses_the_run_and_can_be_made_good(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    async def down(item: Item, variant: Variant, *, repeat: int) -> Outcome:
        raise ProviderTimeoutError("no answer in 5 s", provider="test")

    run = await OfflineRunner(experiment(), ITEMS, down, path, concurrency=1).run()
    assert len(run.results) == 10
    assert "--retry-errors" in run.events[-1]["reason"]
    assert (
        next(iter(run.results.values())).outcome.error == "ProviderTimeoutError: no answer in 5 s"
    )
    run = await OfflineRunner(experiment(), ITEMS, Subject(), path, retry_errors=True).run()
    assert len(run.results) == 120
    assert not any(result.outcome.error for result in run.results.values())


async def test_the_users_own_budget_ends_the_run(tmp_path: Path) -> None:
    async def refused(item: Item, variant: Variant, *, repeat: int) -> Outcome:
        raise BudgetExceededError("The day's budget of 1 USD is spent.")

    run = await OfflineRunner(experiment(), ITEMS, refused, tmp_path / "r.jsonl").run()
    assert run.results == {}
    assert run.events[-1]["reason"] == "The day's budget of 1 USD is spent."


async def test_a_guard_rail_stops_a_slow_variant_and_leaves_a_good_one(tmp_path: Path) -> None:
    items = [Item(f"i{n}", f"q{n}", "yes") for n in range(120)]
    guarded = experiment(
        guard_rails=[{"metric": "latency_ms", "max_ratio": 1.5}],
        dataset={"path": "d.jsonl"},
    )
    slow = await OfflineRunner(
        guarded, items, Subject(latency={"new": 300.0}), tmp_path / "slow.jsonl", concurrency=1
    ).run()
    assert list(slow.stopped_variants) == ["new"]
    assert "latency_ms is 30" in slow.stopped_variants["new"]
    assert len(slow.results) < 240
    assert analyse(guarded, slow).winner is None
    assert "every variant was stopped" in slow.events[-1]["reason"]
    fine = await OfflineRunner(
        guarded, items, Subject(latency={"new": 120.0}), tmp_path / "fine.jsonl"
    ).run()
    assert not fine.stopped_variants


async def test_an_early_stop_waits_for_evidence(tmp_path: Path) -> None:
    items = [Item(f"i{n}", f"q{n}", "yes") for n in range(200)]
    early = experiment(dataset={"path": "d.jsonl"}, stop={"early": True, "min_units": 5})
    run = await OfflineRunner(early, items, Subject(), tmp_path / "r.jsonl").run()
    assert 10 < len(run.results) < 200
    analysis = analyse(early, run)
    assert analysis.winner == "new"
    assert not analysis.complete


async def test_the_judge_compares_pairs(tmp_path: Path) -> None:
    judged = experiment(
        metrics=[{"name": "preferred", "scorer": {"kind": "judge"}}], dataset={"path": "d.jsonl"}
    )

    async def likes_yes(prompt: Sequence[BaseMessage]) -> str:
        a = str(prompt[-1].content).split("Answer A:")[1].split("Answer B:")[0]
        return '{"better": "A"}' if "yes" in a else '{"better": "B"}'

    path = tmp_path / "r.jsonl"
    with pytest.raises(InputError, match="needs a judging model"):
        await OfflineRunner(judged, ITEMS, Subject(), path).run()
    run = await OfflineRunner(judged, ITEMS, Subject(), path, judge=likes_yes).run()
    analysis = analyse(judged, run)
    row = analysis.comparisons[0]
    assert row.fixed.estimate == pytest.approx(0.25)  # half wins, half ties
    assert analysis.judge["preferred"][0] == 1.0
    assert analysis.winner == "new"
    assert "survived swapping" in markdown(judged, analysis, run)
    assert {c["prompt"] for c in run.comparisons} == {live_template().ref}
    run.comparisons[0]["prompt"] = "judge@1001"
    assert any("several prompt versions" in said for said in analyse(judged, run).warnings)


async def test_scores_are_checked_before_anything_is_spent(tmp_path: Path) -> None:
    subject = Subject()
    items = [*ITEMS, Item("bad", "q")]
    with pytest.raises(InputError, match="item 'bad' has no answer"):
        await OfflineRunner(experiment(), items, subject, tmp_path / "r.jsonl").run()
    assert subject.calls == []


async def test_items_count_in_planned_order(tmp_path: Path) -> None:
    run = await OfflineRunner(experiment(), ITEMS, Subject(), tmp_path / "r.jsonl").run()
    for repeat in (0, 1):
        del run.results["i3", "new", repeat]
    row = next(c for c in analyse(experiment(), run).comparisons if c.metric == "right")
    assert row.fixed.n == 29
    assert row.always.n == 3  # i0 to i2: what finished after the gap doesn't count yet


async def test_reports(tmp_path: Path) -> None:
    run = await OfflineRunner(experiment(), ITEMS, Subject(), tmp_path / "r.jsonl").run()
    analysis = analyse(experiment(), run)
    text = markdown(experiment(), analysis, run)
    assert "**new is better than old on right" in text
    assert "cost per right answer, new: 0.010000 USD" in text
    assert "cost per right answer, old: 0.020000 USD" in text
    assert "answered by test/m" in text
    page = html_page(experiment(), analysis, run)
    assert "Which &lt;b&gt;one&lt;/b&gt;?" in page
    assert "<b>one" not in page
    assert "Plotly.newPlot" in page
    assert 'src="http' not in page
    assert "<link" not in page
    document = json.loads(json.dumps(as_document(experiment(), analysis, run), allow_nan=False))
    assert document["winner"] == "new"


async def test_the_judges_cost_counts_in_the_cap(tmp_path: Path) -> None:
    capped = experiment(
        metrics=[{"name": "preferred", "scorer": {"kind": "judge"}}],
        dataset={"path": "d.jsonl"},
        stop={"max_cost_usd": 0.70, "min_units": 5},
    )
    asked = 0

    async def dear(prompt: Sequence[BaseMessage]) -> Said:
        nonlocal asked
        asked += 1
        return Said("[[A]]", Decimal("0.005"))

    path = tmp_path / "r.jsonl"
    run = await OfflineRunner(capped, ITEMS, Subject(), path, judge=dear).run()
    # 60 answers cost 0.60; a pair of different answers is judged twice, for 0.01
    assert run.events[-1]["reason"] == "the cost cap of 0.7 USD is reached while judging"
    assert run.spent == Decimal("0.70") == read_run(path).spent
    assert asked == 20
    analysis = analyse(capped, run)
    assert not analysis.complete
    assert any("pairs of answers are not judged" in said for said in analysis.warnings)

    async def unpriced(prompt: Sequence[BaseMessage]) -> Said:
        return Said("[[A]]", None)

    run = await OfflineRunner(capped, ITEMS, Subject(), tmp_path / "u.jsonl", judge=unpriced).run()
    assert run.events[-1]["reason"].startswith("the judge has no known price")


async def test_max_units_ends_an_offline_run(tmp_path: Path) -> None:
    limited = experiment(stop={"max_units": 6, "min_units": 5})
    subject = Subject()
    run = await OfflineRunner(limited, ITEMS, subject, tmp_path / "r.jsonl").run()
    assert {call[0] for call in subject.calls} == {f"i{n}" for n in range(6)}
    assert run.events[-1]["reason"] == "6 of 30 items are answered, which is stop.max_units"
    assert not analyse(limited, run).complete  # whoever raises the limit has looked on the way
    more = experiment(stop={"max_units": 8, "min_units": 5})
    run = await OfflineRunner(more, ITEMS, subject, tmp_path / "r.jsonl").run()
    assert len(run.results) == 8 * 4
