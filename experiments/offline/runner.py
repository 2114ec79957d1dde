"""The offline runner: dataset × variants × repeats, resumable, within a budget."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from statistics import mean
from typing import Any

from allotrope.exceptions import AllotropeError, BudgetExceededError, InputError
from allotrope.experiments.analysis import (
    always_valid,
    answered_items,
    breached,
    item_scores,
    ordered_pairs,
)
from allotrope.experiments.dataset import Item
from allotrope.experiments.decision import fails_more
from allotrope.experiments.definition import Experiment, Metric, Variant
from allotrope.experiments.offline.evaluator import Evaluator
from allotrope.experiments.offline.judge import Ask, PairwiseJudge, by_failure, live_template
from allotrope.experiments.offline.outcome import Outcome, Subject
from allotrope.experiments.offline.results import FORMAT, Result, ResultsFile, Run, read_run
from allotrope.prompts.template import PromptTemplateVersion

ERRORS_IN_A_ROW = 10
"""Failed answers in a row after which a run pauses: something is down, not a variant bad."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Args:
        done: Answers there.
        total: Answers planned.
        spent: USD so far.
    """

    done: int
    total: int
    spent: Decimal


@dataclass
class OfflineRunner:
    """Runs an offline experiment and writes each answer as soon as it is there.

    Args:
        experiment: The definition.
        items: The dataset, in order.
        subject: What answers.
        path: The results file; one that is there is continued.
        concurrency: Answers at a time.
        embeddings: For the scorer `embedding`.
        judge: The judging model, for the scorer `judge`.
        judge_template: Its prompt; default: the packaged version of the template `judge`.
        on_progress: Called after each answer.
        retry_errors: Whether failed answers of an earlier run are asked for again.
    """

    experiment: Experiment
    items: Sequence[Item]
    subject: Subject
    path: Path
    concurrency: int = 2
    embeddings: Any = None
    judge: Ask | None = None
    judge_template: PromptTemplateVersion | None = None
    on_progress: Callable[[Progress], None] = lambda _: None
    retry_errors: bool = False
    _run: Run = field(default_factory=Run, init=False)
    _reserved: Decimal = field(default=Decimal(0), init=False)
    _dearest: Decimal | None = field(default=None, init=False)
    _left: int = field(default=0, init=False)
    _spent: Decimal = field(default=Decimal(0), init=False)
    _failures: int = field(default=0, init=False)
    _end: str | None = field(default=None, init=False)

    async def run(self) -> Run:
        """Runs to the end, the budget, a decision or a breakdown; whatever is there is kept.

        Raises:
            InputError: The definition or dataset doesn't fit the file, or can't be scored.
            StoreError: Another process writes the file.
        """
        evaluator = Evaluator(self.experiment.metrics, embeddings=self.embeddings)
        evaluator.check(self.items)
        if evaluator.judged and self.judge is None:
            raise InputError(
                f"metric {evaluator.judged[0].name}: the scorer judge needs a judging model.",
                hint="Hand one to the runner (judge=…).",
            )
        with ResultsFile(self.path) as file:
            self._run = read_run(self.path)
            self._begin(file)
            work = self._work()
            self._left, self._spent = len(work), self._run.spent
            self._report()
            queue = iter(work)
            started = min(self.concurrency, len(work))
            # Until the first price is known, one answer at a time: nothing can be reserved yet.
            if self.experiment.stop.max_cost_usd is not None and self._dearest is None and work:
                await self._answer(next(queue), evaluator, file)
            async with asyncio.TaskGroup() as group:
                for _ in range(started):
                    group.create_task(self._worker(queue, evaluator, file))
            if evaluator.judged and self._end is None:
                await self._judge(evaluator.judged, file)
            self._event(file, "end", reason=self._end or self._finished())
        return self._run

    def _begin(self, file: ResultsFile) -> None:
        header = self._run.header
        ids = [item.id for item in self.items]
        if not header:
            self._run.header = {
                "type": "header", "format": FORMAT, "experiment": self.experiment.name,
                "digest": self.experiment.digest, "items": ids, "at": _now(),
            }  # fmt: skip
            file.append(self._run.header)
            return
        if header["digest"] != self.experiment.digest or header["items"] != ids:
            raise InputError(
                f"{self.path} holds results of another form of {self.experiment.name}: its file or "
                "dataset has changed since.",
                hint="Give the experiment a new name, or start afresh (--fresh).",
            )
        costs = [r.outcome.cost_usd for r in self._run.results.values()]
        known = [cost for cost in costs if cost is not None]
        self._dearest = max(known) if known else None
        self._event(file, "resumed")

    def _work(self) -> list[tuple[Item, Variant, int]]:
        assert self.experiment.dataset is not None
        repeats = self.experiment.dataset.repeats
        work = []
        for item in self.items[: self.experiment.stop.max_units]:
            for repeat in range(repeats):
                for variant in self.experiment.variants:
                    old = self._run.results.get((item.id, variant.name, repeat))
                    if old is None or (self.retry_errors and old.outcome.error):
                        work.append((item, variant, repeat))
        return work

    def _finished(self) -> str:
        limit = self.experiment.stop.max_units
        if limit is None or limit >= len(self.items):
            return "complete"
        return f"{limit} of {len(self.items)} items are answered, which is stop.max_units"

    async def _worker(self, queue: Any, evaluator: Evaluator, file: ResultsFile) -> None:
        for task in queue:
            if self._end is not None:
                return
            if task[1].name not in self._run.stopped_variants:
                await self._answer(task, evaluator, file)

    async def _answer(
        self, task: tuple[Item, Variant, int], evaluator: Evaluator, file: ResultsFile
    ) -> None:
        experiment = self.experiment
        item, variant, repeat = task
        expected = self._dearest or Decimal(0)
        cap = experiment.stop.max_cost_usd
        if cap is not None and self._spent + self._reserved + expected > Decimal(str(cap)):
            self._end = f"the cost cap of {cap:g} USD is reached"
            return
        self._reserved += expected
        began = time.perf_counter()
        try:
            outcome = await self.subject(item, variant, repeat=repeat)
        except BudgetExceededError as exc:
            self._end = str(exc)
            return
        except Exception as exc:  # noqa: BLE001 # whatever fails is an outcome of the variant
            said = str(exc) if isinstance(exc, AllotropeError) else ""
            outcome = Outcome(
                "", latency_ms=(time.perf_counter() - began) * 1000,
                error=f"{type(exc).__name__}: {said}".rstrip(": "),
            )  # fmt: skip
        finally:
            self._reserved -= expected
        scores = await evaluator.scores(item, outcome)
        result = Result(item.id, variant.name, repeat, outcome, scores)
        file.append(result.to_json())
        self._run.results[result.key] = result
        self._left -= 1
        self._spent += outcome.cost_usd or Decimal(0)
        self._after(result, cap)
        if experiment.guard_rails or experiment.stop.early:
            self._check_variants(file)
        self._report()

    def _after(self, result: Result, cap: float | None) -> None:
        cost = result.outcome.cost_usd
        if cost is not None:
            self._dearest = max(self._dearest or Decimal(0), cost)
        elif cap is not None:
            self._end = "an answer has no known price, so the cost cap can't be kept"
        self._failures = self._failures + 1 if result.outcome.error else 0
        if self._failures >= ERRORS_IN_A_ROW:
            self._end = (
                f"{self._failures} answers in a row failed (last: {result.outcome.error}); "
                "run again with --retry-errors when it works"
            )

    def _check_variants(self, file: ResultsFile) -> None:
        """Stops variants that break a guard-rail, and the run when it is decided early."""
        experiment, repeats = self.experiment, self._repeats
        metrics = {metric.name: metric for metric in experiment.metrics}
        others = [v.name for v in experiment.variants if v.name != experiment.control_name]
        # Each limit of each variant gets its part of alpha (Bonferroni).
        alpha = experiment.stop.alpha / max(1, len(others) * len(experiment.guard_rails))
        for rail in experiment.guard_rails:
            metric = metrics.get(rail.metric) or Metric(name=rail.metric)
            for name in others:
                if name not in self._run.stopped_variants:
                    reason = breached(rail, metric, *self._pairs(rail.metric, name), alpha)
                    if reason is not None:
                        self._event(file, "guard-rail", variant=name, reason=reason)
        running = [name for name in others if name not in self._run.stopped_variants]
        if not running:
            self._end = "every variant was stopped by a guard-rail"
        elif experiment.stop.early and repeats:
            alpha = experiment.stop.alpha / len(others)
            for name in running:
                a, b = self._pairs(experiment.primary.name, name)
                found = always_valid(experiment.primary, a, b, alpha=alpha)
                if len(a) < experiment.stop.min_units or found.p_value > alpha:
                    continue
                rates = self._pairs("error_rate", name)
                failed = (mean(rates[0]), mean(rates[1]))
                if found.direction != experiment.primary.sign or not fails_more(experiment, failed):
                    self._end = f"{experiment.primary.name} is decided for {name}"

    @property
    def _repeats(self) -> int:
        return self.experiment.dataset.repeats if self.experiment.dataset else 1

    def _pairs(self, metric: str, variant: str) -> tuple[list[float], list[float]]:
        control = self.experiment.control_name
        scores = [
            item_scores(self._run, metric, name, repeats=self._repeats)
            for name in (variant, control)
        ]
        answered = answered_items(self._run, (variant, control), repeats=self._repeats)
        return ordered_pairs(answered, *scores)

    async def _judge(self, metrics: Sequence[Metric], file: ResultsFile) -> None:
        assert self.judge is not None
        template = self.judge_template
        if template is None:
            template = await asyncio.to_thread(live_template)
        control = self.experiment.control_name
        done = {(c["metric"], c["item"], c["variant"], c["repeat"]) for c in self._run.comparisons}
        cap = self.experiment.stop.max_cost_usd
        costs = [Decimal(c.get("cost_usd") or 0) for c in self._run.comparisons]
        dearest = max(costs, default=Decimal(0))
        for metric in metrics:
            rubric = (metric.scorer or {}).get("rubric")
            judge = PairwiseJudge(self.judge, template, rubric)
            for item in self.items:
                for key, result in list(self._run.results.items()):
                    base = self._run.results.get((item.id, control, key[2]))
                    place = (metric.name, *key)
                    if key[0] != item.id or key[1] == control or base is None or place in done:
                        continue
                    if cap is not None and self._spent + dearest > Decimal(str(cap)):
                        self._end = f"the cost cap of {cap:g} USD is reached while judging"
                        return
                    found = by_failure(result.outcome, base.outcome) or await judge.compare(
                        item, variant=result.outcome.answer, control=base.outcome.answer
                    )
                    fact = {
                        "type": "comparison", "metric": metric.name, "item": item.id,
                        "variant": key[1], "repeat": key[2], "score": found.score,
                        "first": found.first, "second": found.second, "prompt": template.ref,
                        "cost_usd": None if found.cost_usd is None else str(found.cost_usd),
                    }  # fmt: skip
                    file.append(fact)
                    self._run.comparisons.append(fact)
                    if found.cost_usd is None and cap is not None:
                        self._end = "the judge has no known price, so the cost cap can't be kept"
                        return
                    self._spent += found.cost_usd or Decimal(0)
                    dearest = max(dearest, found.cost_usd or Decimal(0))
                    self._report()

    def _event(self, file: ResultsFile, event: str, **details: str) -> None:
        fact = {"type": "event", "event": event, "at": _now(), **details}
        file.append(fact)
        self._run.events.append(fact)

    def _report(self) -> None:
        done = len(self._run.results)
        self.on_progress(Progress(done, done + self._left, self._spent))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
