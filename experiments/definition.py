"""What an experiment file says: variants, traffic, metrics, guard-rails and when to stop."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from allotrope.exceptions import InputError
from allotrope.experiments.files import Document, read_text

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]

BUILT_IN_METRICS: dict[str, tuple[float | None, float | None, str]] = {
    "error_rate": (0.0, 1.0, "decrease"),
    "latency_ms": (0.0, None, "decrease"),
    "cost_usd": (0.0, None, "decrease"),
    "input_tokens": (0.0, None, "decrease"),
    "output_tokens": (0.0, None, "decrease"),
    "total_tokens": (0.0, None, "decrease"),
    "cache_share": (0.0, 1.0, "increase"),
    "feedback": (0.0, 1.0, "increase"),
}
"""Metrics every outcome carries: range and the good direction. `feedback` is online only."""


class FrozenPart(BaseModel):
    """A frozen part of the file; unknown fields are refused so that a typo is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(FrozenPart):
    """One way of answering.

    Args:
        name: Its name.
        share: Its share of the traffic; all shares sum to 1.
        profile: Parameter profile; default: the agent's.
        prompt: Prompt version, `name@version` or a label; default: the agent's.
        parameters: Single parameters on top of the profile, such as `temperature`.
    """

    name: Name
    share: float = Field(gt=0, le=1)
    profile: str | None = None
    prompt: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class Metric(FrozenPart):
    """What is measured.

    Args:
        name: A built-in metric, or a name of your own with a scorer.
        scorer: The scorer and its options, such as `{kind: numeric, tolerance: 0}`.
        goal: Whether more or less is better.
        low: Smallest possible value; with `high` it allows the exact sequential test.
        high: Largest possible value.
        primary: The one metric that decides.
    """

    name: Name
    scorer: dict[str, Any] | None = None
    goal: Literal["increase", "decrease"] | None = None
    low: float | None = None
    high: float | None = None
    primary: bool = False

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.scorer is None and self.name not in BUILT_IN_METRICS:
            raise ValueError(
                f"nobody reports {self.name!r}; give it a scorer or use one of "
                + ", ".join(BUILT_IN_METRICS)
            )
        if self.scorer is not None and not isinstance(self.scorer.get("kind"), str):
            raise ValueError("a scorer needs a kind, such as {kind: exact}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high")
        return self

    @property
    def range(self) -> tuple[float | None, float | None]:
        """Smallest and largest possible value; scorers give 0 to 1 unless the file says else."""
        low, high, _ = BUILT_IN_METRICS.get(self.name, (0.0, 1.0, ""))
        return (low if self.low is None else self.low, high if self.high is None else self.high)

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        goal = self.goal or BUILT_IN_METRICS.get(self.name, (0, 1, "increase"))[2]
        return 1 if goal == "increase" else -1


class GuardRail(FrozenPart):
    """A limit whose breach stops a variant (never the control).

    Args:
        metric: A built-in metric or one of the file's.
        max: Largest allowed mean.
        max_ratio: Largest allowed mean, as a multiple of the control's.
        max_increase: Largest allowed mean, as a difference to the control's.
    """

    metric: Name
    max: float | None = None
    max_ratio: float | None = Field(default=None, ge=1)
    max_increase: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [v for v in (self.max, self.max_ratio, self.max_increase) if v is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of max, max_ratio and max_increase")
        return self


class StopRule(FrozenPart):
    """When an experiment ends.

    Args:
        alpha: Share of false wins allowed, over all variants together.
        power: Wanted share of real effects found; for planning.
        min_effect: Smallest difference of the primary metric that matters; for planning.
        min_units: Items or units before a winner may be called.
        max_units: Items or units (per variant) after which it ends without a winner.
        max_cost_usd: Spend at which it ends, in USD.
        early: Whether an offline run ends as soon as the primary metric is decided.
        max_error_increase: How much more of a winner's answers may fail than of the control's, as a
            difference of shares. It counts where failed answers stand in no value of the primary
            metric (cost, latency, tokens, feedback).
    """

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    power: float = Field(default=0.8, gt=0.05, lt=1)
    min_effect: float = Field(default=0.05, gt=0)
    min_units: int = Field(default=20, ge=2)
    max_units: int | None = Field(default=None, ge=2)
    max_cost_usd: float | None = Field(default=None, gt=0)
    early: bool = False
    max_error_increase: float = Field(default=0.01, ge=0, le=1)

    @model_validator(mode="after")
    def _most(self) -> Self:
        if self.max_units is not None and self.max_units < self.min_units:
            raise ValueError(
                f"max_units ({self.max_units}) is below min_units ({self.min_units}), so nothing "
                "could ever be decided"
            )
        return self


class Dataset(FrozenPart):
    """What an offline experiment runs over.

    Args:
        path: A JSONL file; relative paths start at the experiment file's folder.
        limit: Only that many items, chosen by hash (the same ones every time).
        repeats: Answers per item and variant.
    """

    path: Path
    limit: int | None = Field(default=None, ge=2)
    repeats: int = Field(default=1, ge=1, le=100)


class Experiment(FrozenPart):
    """A whole experiment file.

    Args:
        name: Its name; results are kept under it.
        description: What is to be found out.
        kind: `offline` over a dataset, or `online` on traffic.
        agent: The agent type.
        unit: What is assigned to a variant online.
        layer: Experiments of one layer never share a unit.
        layer_slot: The part of the layer's units that take part, from 0 to 1.
        salt: Makes assignments differ from other experiments'; default: the name.
        control: The variant the others are compared with; default: the first.
        variants: Two or more.
        dataset: For offline experiments.
        embeddings: For the scorer `embedding`: `provider:model`, such as
            `openai:text-embedding-3-small`; default: those of the semantic cache.
        metrics: One of them primary; a single one is primary by itself.
        guard_rails: Limits that stop a variant.
        stop: When it ends.
    """

    name: Name
    description: str = ""
    kind: Literal["offline", "online"] = "offline"
    agent: str = "assistant"
    unit: Literal["user", "thread", "tenant"] = "user"
    layer: Name | None = None
    layer_slot: tuple[float, float] = (0.0, 1.0)
    salt: str | None = None
    control: str | None = None
    variants: tuple[Variant, ...] = Field(min_length=2, max_length=20)
    dataset: Dataset | None = None
    embeddings: str | None = None
    metrics: tuple[Metric, ...] = Field(min_length=1)
    guard_rails: tuple[GuardRail, ...] = ()
    stop: StopRule = StopRule()

    @field_validator("variants")
    @classmethod
    def _shares(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        names = [variant.name for variant in variants]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two variants are called {', '.join(sorted(doubled))}")
        total = sum(variant.share for variant in variants)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares sum to {total:g}, not to 1")
        return variants

    @field_validator("metrics")
    @classmethod
    def _primary(cls, metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
        names = [metric.name for metric in metrics]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two metrics are called {', '.join(sorted(doubled))}")
        primary = [metric for metric in metrics if metric.primary]
        if len(primary) > 1 or (not primary and len(metrics) > 1):
            raise ValueError("mark exactly one metric with primary: true")
        return metrics

    @field_validator("layer_slot")
    @classmethod
    def _slot(cls, slot: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= slot[0] < slot[1] <= 1:
            raise ValueError("it must be two numbers, 0 <= from < to <= 1")
        return slot

    @model_validator(mode="after")
    def _whole(self) -> Self:
        names = [variant.name for variant in self.variants]
        if self.control is not None and self.control not in names:
            raise ValueError(f"control {self.control!r} is none of {', '.join(names)}")
        if self.kind == "offline" and self.dataset is None:
            raise ValueError("an offline experiment needs a dataset")
        if self.kind == "online":
            scored = [m.name for m in self.metrics if m.scorer is not None]
            if scored:
                raise ValueError(f"{', '.join(scored)}: scorers run offline; online use feedback")
            if any(variant.parameters for variant in self.variants):
                raise ValueError("parameters are for offline experiments; online make a profile")
        reported = {*BUILT_IN_METRICS, *(metric.name for metric in self.metrics)}
        for rail in self.guard_rails:
            if rail.metric not in reported:
                raise ValueError(f"nobody reports the guard-rail's metric {rail.metric!r}")
        if self.kind == "offline":
            wanted = [m.name for m in self.metrics] + [g.metric for g in self.guard_rails]
            if "feedback" in wanted:
                raise ValueError("nobody reports feedback in an offline experiment")
        return self

    @property
    def control_name(self) -> str:
        """The variant the others are compared with."""
        return self.control or self.variants[0].name

    @property
    def primary(self) -> Metric:
        """The metric that decides."""
        return next((metric for metric in self.metrics if metric.primary), self.metrics[0])

    def variant(self, name: str) -> Variant:
        """The variant of that name.

        Raises:
            InputError: There is none.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        names = ", ".join(variant.name for variant in self.variants)
        raise InputError(f"{self.name} has no variant {name!r}; it has {names}.")

    @property
    def digest(self) -> str:
        """A hash of what changes the results' meaning: not limits, words or the dataset's place.

        The runner compares the dataset's items by themselves.
        """
        leave: dict[str, Any] = {"description": True, "stop": True, "dataset": {"path"}}
        if self.embeddings is None:
            leave["embeddings"] = True
        content = self.model_dump_json(exclude=leave)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


Check = Callable[[Experiment], Iterable[tuple[tuple[str | int, ...], str]]]
"""Finds what is wrong with an experiment besides its form: fields and complaints."""


def load_experiment(path: Path, *, checks: Sequence[Check] = ()) -> Experiment:
    """Reads and checks an experiment file.

    Args:
        path: The YAML file.
        checks: What else must hold, such as `subjects.check_variants`.

    Raises:
        InputError: What is wrong, with file, line and field.
    """
    text = read_text(path, what="experiment file")
    return parse_experiment(text, name=str(path), base=path.parent, checks=checks)


def parse_experiment(
    text: str, *, name: str, base: Path | None = None, checks: Sequence[Check] = ()
) -> Experiment:
    """Checks the text of an experiment file.

    Args:
        text: YAML.
        name: What to call it in complaints.
        base: Folder at which a relative dataset path starts.
        checks: What else must hold.

    Raises:
        InputError: What is wrong, with file, line and field.
    """
    document = Document(name=name, text=text)
    experiment = document.parse(Experiment)
    problems = [problem for check in checks for problem in check(experiment)]
    if problems:
        raise InputError("\n".join(str(document.error(said, *field)) for field, said in problems))
    if experiment.dataset is not None and base is not None:
        dataset = experiment.dataset.model_copy(
            update={"path": (base / experiment.dataset.path.expanduser()).resolve()}
        )
        experiment = experiment.model_copy(update={"dataset": dataset})
    return experiment
