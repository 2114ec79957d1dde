"""The quality benchmark: an agent over a dataset, with a history to compare with."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from allotrope.exceptions import InputError
from allotrope.experiments.analysis import Analysis
from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Dataset, Experiment, Metric, StopRule, Variant
from allotrope.experiments.offline.report import cost_per_correct
from allotrope.experiments.offline.results import Run
from allotrope.experiments.offline.text_scorers import number_in
from allotrope.support.complaints import complaints

BASELINE = "default"
COLUMNS = ("variant", "model", "n", "quality", "95 %", "failed", "USD", "USD per right", "s each")


@dataclass(frozen=True)
class QualityEntry:
    """One line of the history.

    Args:
        at: When, ISO.
        dataset: Its file name.
        agent: The agent.
        variant: The variant.
        models: Who answered.
        n: Items.
        quality: Mean score, 0 to 1.
        low: Lower end of the interval.
        high: Upper end.
        cost_usd: USD, as text.
        cost_per_correct_usd: USD for each right answer, as text; None without one.
        latency_ms: Mean milliseconds of an answer.
        failed: Answers that failed; they score 0.
    """

    at: str
    dataset: str
    agent: str
    variant: str
    models: Sequence[str]
    n: int
    quality: float
    low: float
    high: float
    cost_usd: str
    cost_per_correct_usd: str | None
    latency_ms: float
    failed: int = 0

    def cells(self) -> tuple[str, ...]:
        """The entry for people, in the order of `COLUMNS`."""
        models = [model for model in self.models if model not in ("?", "unknown")]
        return (
            self.variant, ", ".join(models) or "–", str(self.n), f"{self.quality:.3f}",
            f"{self.low:.3f} to {self.high:.3f}", str(self.failed), self.cost_usd,
            self.cost_per_correct_usd or "–", f"{self.latency_ms / 1000:.1f}",
        )  # fmt: skip


def parse_variant(text: str) -> dict[str, Any]:
    """A variant from the command line: `NAME` of a profile, or `name:key=value,key=value`.

    Args:
        text: Keys are `profile`, `prompt` and any parameter, such as
            `cold:temperature=0,profile=precise`.

    Raises:
        InputError: It can't be read.
    """
    name, _, rest = text.partition(":")
    fields: dict[str, Any] = {"name": name, "parameters": {}}
    if not rest:
        fields["profile"] = name
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(
                f"The variant {text!r} can't be read.",
                hint="Write a profile's name, or name:key=value,key=value.",
            )
        if key in {"profile", "prompt"}:
            fields[key] = value
        else:
            try:
                fields["parameters"][key] = json.loads(value)
            except ValueError:
                fields["parameters"][key] = value
    return fields


def scorer_for(items: Sequence[Item]) -> dict[str, Any]:
    """The scorer for items without one of their own: numbers where every answer is one.

    Args:
        items: The dataset.
    """
    numeric = all(item.expected is None or number_in(item.expected) is not None for item in items)
    return {"kind": "numeric"} if numeric else {"kind": "contains-all"}


def as_experiment(
    path: Path, items: Sequence[Item], *, agent: str, variants: Sequence[str], repeats: int = 1
) -> Experiment:
    """The benchmark as an offline experiment.

    Args:
        path: The dataset.
        items: Its items; where every answer is a number, numbers are compared, else phrases.
        agent: The agent.
        variants: As for `parse_variant`; with none, the agent as it is.
        repeats: Answers per item.

    Raises:
        InputError: A variant can't be read.
    """
    parsed = [parse_variant(text) for text in variants]
    given = [{"name": BASELINE}, *parsed]
    share = 1 / len(given)
    from pydantic import ValidationError

    try:
        built = tuple(Variant.model_validate({**fields, "share": share}) for fields in given)
    except ValidationError as exc:
        raise InputError(f"A variant can't be used: {complaints(exc)[0].message}.") from exc
    # One variant alone is measured, not compared; `Experiment` itself asks for two.
    return Experiment.model_construct(
        name="bench", description="", kind="offline", agent=agent, unit="user", layer=None,
        embeddings=None,
        layer_slot=(0.0, 1.0), salt=None, control=None, variants=built,
        dataset=Dataset(path=path, repeats=repeats), guard_rails=(), stop=StopRule(),
        metrics=(Metric(name="quality", scorer=scorer_for(items), primary=True),),
    )  # fmt: skip


def entries(experiment: Experiment, analysis: Analysis, run: Run) -> list[QualityEntry]:
    """What goes to the history.

    Args:
        experiment: From `as_experiment`.
        analysis: Of its run.
        run: The results.
    """
    assert experiment.dataset is not None
    rows = []
    for variant in experiment.variants:
        results = [r for r in run.results.values() if r.variant == variant.name]
        quality = analysis.estimates["quality"][variant.name]
        each = cost_per_correct(experiment, run, variant.name)
        costs = [r.outcome.cost_usd for r in results if r.outcome.cost_usd is not None]
        models = {str(r.outcome.provenance.get("model", "?")) for r in results}
        rows.append(
            QualityEntry(
                run.header.get("at", ""), experiment.dataset.path.name, experiment.agent,
                variant.name, sorted(models), quality.n, quality.mean, quality.low, quality.high,
                f"{sum(costs):.6f}", None if each is None else f"{each:.6f}",
                analysis.estimates["latency_ms"][variant.name].mean,
                sum(result.outcome.error is not None for result in results),
            )
        )  # fmt: skip
    return rows


def append_history(path: Path, new: Sequence[QualityEntry]) -> list[QualityEntry]:
    """Adds lines to the history and gives the earlier ones.

    Args:
        path: A JSONL file.
        new: What was measured now.
    """
    old = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                old.append(QualityEntry(**json.loads(line)))
            except (ValueError, TypeError):
                continue  # a line of another version, or half a line; the rest still helps
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for entry in new:
            file.write(json.dumps(asdict(entry)) + "\n")
    return old


def markdown(
    title: str, new: Sequence[QualityEntry], old: Sequence[QualityEntry], said: Sequence[str]
) -> str:
    """The report of a run.

    Args:
        title: Agent and dataset.
        new: What was measured now.
        old: Earlier runs to compare with.
        said: Sentences below the table.
    """

    def table(entries: Sequence[QualityEntry]) -> list[str]:
        rows = [COLUMNS, ("---",) * len(COLUMNS), *(entry.cells() for entry in entries)]
        return [f"| {' | '.join(row)} |" for row in rows]

    lines = [f"## {title}", "", *table(new), "", *(f"- {sentence}" for sentence in said)]
    if old:
        lines += ["", "Earlier:", "", *table(old)]
    return "\n".join(lines).rstrip() + "\n"


def sentences(experiment: Experiment, analysis: Analysis, run: Run) -> list[str]:
    """What there is to say below the table: differences to the baseline, and why answers failed.

    Args:
        experiment: From `as_experiment`.
        analysis: Of its run.
        run: The results.
    """
    said = [
        f"{row.variant}: {row.fixed.estimate:+.3f} against {BASELINE}, p = {row.p_fixed:.3g}"
        for row in analysis.comparisons
        if row.metric == "quality"
    ]
    errors = Counter(
        (result.variant, result.outcome.error) for result in run.results.values()
        if result.outcome.error
    )  # fmt: skip
    said += [f"{name}: {n} answers failed: {why}" for (name, why), n in errors.most_common(5)]
    return said
