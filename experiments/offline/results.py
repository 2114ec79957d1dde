"""The results file of a run: one JSON line per fact, written at once, readable after any crash."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Self

from allotrope.exceptions import InputError, StoreError
from allotrope.experiments.offline.outcome import OF_ANSWERS, Outcome
from allotrope.stores.locks import lock

FORMAT = 1
SYNC_S = 1.0


@dataclass(frozen=True)
class Result:
    """The outcome of one item, variant and repeat, with its scores.

    Args:
        item: Id of the item.
        variant: Name of the variant.
        repeat: From 0.
        outcome: The answer.
        scores: Metric to value; built-in metrics included.
    """

    item: str
    variant: str
    repeat: int
    outcome: Outcome
    scores: Mapping[str, float]

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it unique in a run."""
        return self.item, self.variant, self.repeat

    def to_json(self) -> dict[str, Any]:
        """Plain types; money as text."""
        document = asdict(self)
        cost = self.outcome.cost_usd
        document["outcome"]["cost_usd"] = None if cost is None else str(cost)
        return {"type": "result", **document}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The other way round."""
        outcome = dict(document["outcome"])
        if outcome["cost_usd"] is not None:
            outcome["cost_usd"] = Decimal(outcome["cost_usd"])
        scores = document["scores"]
        if outcome.get("error") is not None:  # earlier versions gave failures a cost of 0
            scores = {name: score for name, score in scores.items() if name not in OF_ANSWERS}
        return cls(
            document["item"], document["variant"], document["repeat"], Outcome(**outcome), scores
        )


@dataclass
class Run:
    """Everything a results file holds.

    Args:
        header: Name and digest of the experiment, ids of the items in order, when it began.
        results: By item, variant and repeat.
        events: What happened, in order: stopped variants, the end, a resumption.
        comparisons: Verdicts of the judge.
        came: When values came, by metric and result, in any unit that grows; `*` has the metrics
            that aren't named. Where nothing is said, the results' own order counts.
    """

    header: dict[str, Any] = field(default_factory=dict)
    results: dict[tuple[str, str, int], Result] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    came: dict[str, dict[tuple[str, str, int], int]] = field(default_factory=dict)

    @property
    def spent(self) -> Decimal:
        """USD so far; judging included."""
        costs = [result.outcome.cost_usd or Decimal(0) for result in self.results.values()]
        judged = [Decimal(fact.get("cost_usd") or 0) for fact in self.comparisons]
        return sum((*costs, *judged), Decimal(0))

    def as_it_came(self, metric: str) -> list[Result]:
        """The results that have a metric, in the order in which its values came.

        Tests that are valid at every look need this order: a value that comes late must come last,
        as each look may only add to what the looks before have seen.

        Args:
            metric: The metric.
        """
        came = self.came.get(metric) or self.came.get("*", {})
        found = [result for result in self.results.values() if metric in result.scores]
        return sorted(found, key=lambda result: came.get(result.key, 0))

    @property
    def stopped_variants(self) -> dict[str, str]:
        """Variants that a guard-rail stopped, with its sentence."""
        return {e["variant"]: e["reason"] for e in self.events if e["event"] == "guard-rail"}


class ResultsFile:
    """Appends facts to a results file under a lock, so that two runs never mix.

    Each fact is handed to the system at once, so it survives our process; at most `SYNC_S` seconds
    of facts are not yet on the disk, should the machine go down.

    Args:
        path: A `.jsonl` file.
        clock: Seconds that only grow.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._synced_at = -SYNC_S
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Opens and locks the file; a half line that a crash left behind is cut off.

        Raises:
            StoreError: Another process writes it, or it can't be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = self.path.open("ab")
        except OSError as exc:
            raise StoreError(f"The results {self.path} can't be written: {exc.strerror}.") from exc
        try:
            lock(file, wait=False)
        except OSError as exc:
            file.close()
            raise StoreError(
                f"Another run writes {self.path} now.", hint="Wait for it, or stop it."
            ) from exc
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
        self._file = file

    def close(self) -> None:
        """Closes and unlocks it, with everything on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def append(self, fact: Mapping[str, Any]) -> None:
        """Writes one fact so that it survives the process.

        Args:
            fact: Plain types with a `type`.
        """
        assert self._file is not None, "open() comes first"
        self._file.write(json.dumps(fact, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        if self._clock() - self._synced_at >= SYNC_S:
            os.fsync(self._file.fileno())
            self._synced_at = self._clock()


def read_run(path: Path) -> Run:
    """Reads a results file; a half last line is ignored.

    Args:
        path: The file; where there is none, the run is empty.

    Raises:
        InputError: A line in the middle is broken.
    """
    run = Run()
    for number, fact in _facts(path):
        try:
            match fact["type"]:
                case "header":
                    run.header = fact
                case "result":
                    result = Result.from_json(fact)
                    run.results[result.key] = result
                case "comparison":
                    run.comparisons.append(fact)
                case "event":
                    run.events.append(fact)
        except (KeyError, TypeError, ArithmeticError) as exc:
            raise InputError(f"{path}:{number}: this is no line of a results file.") from exc
    if run.header and run.header.get("format") != FORMAT:
        raise InputError(f"{path} has format {run.header.get('format')!r}; {FORMAT} is read.")
    return run


def _facts(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            fact = json.loads(line)
        except ValueError as exc:
            raise InputError(
                f"{path}:{number}: this line is broken.", hint="Restore the file, or start afresh."
            ) from exc
        if not isinstance(fact, dict):
            raise InputError(f"{path}:{number}: this is no line of a results file.")
        yield number, fact
