"""What the dashboard says about experiments; everything here only reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select

from allotrope.exceptions import InputError
from allotrope.settings import Settings
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger, open_ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.queries.sums import Totals
from allotrope.web.dashboard.filters import View


@dataclass(frozen=True)
class Arm:
    """One variant.

    Attributes:
        name: Its name.
        share: Its share of the traffic, 0 to 1.
        units: Users, threads or tenants that saw it first.
        totals: Its calls of the last 365 days.
        link: Those calls.
        stopped: The guard-rail's sentence, or empty.
    """

    name: str
    share: float
    units: int
    totals: Totals
    link: str
    stopped: str


@dataclass(frozen=True)
class ExperimentRow:
    """One experiment; `arms` is empty where its files can't be read, and `last` says why."""

    name: str
    kind: str
    agent: str
    unit: str
    status: str
    last: str
    at: str
    arms: Sequence[Arm] = ()
    promoted: str = ""


def trials(settings: Settings, *, now: datetime | None = None) -> list[ExperimentRow]:
    """Every experiment, the running ones first; blocking."""
    from allotrope.experiments.store import open_store

    store = open_store(settings)
    names = store.names()
    if not names:
        return []
    promoted = {p.experiment: p.variant for p in store.promoted().values()}
    view = View(queries.last_days(365, now or datetime.now(UTC)), period="365d")
    found = []
    with open_ledger(settings) as ledger:
        sums = dict(queries.breakdown(ledger, view.window, "variant"))
        for name in names:
            try:
                experiment, state = store.load(name), store.state(name)
            except InputError as exc:
                found.append(ExperimentRow(name, "", "", "", "unreadable", str(exc), ""))
                continue
            units = _units(ledger, state.key(name))
            arms = [
                Arm(
                    name=variant.name,
                    share=variant.share,
                    units=units.get(variant.name, 0),
                    totals=sums.get(f"{name}/{variant.name}", Totals()),
                    link=view.rows({"variant": f"{name}/{variant.name}"}),
                    stopped=state.stopped_variants.get(variant.name, ""),
                )
                for variant in experiment.variants
            ]
            last = state.history[-1] if state.history else {"what": "", "at": ""}
            found.append(
                ExperimentRow(
                    name, experiment.kind, experiment.agent, experiment.unit, state.status,
                    last["what"], last["at"][:16].replace("T", " "), arms, promoted.get(name, ""),
                )
            )  # fmt: skip
    return sorted(found, key=lambda one: (one.status != "running", one.name))


def _units(ledger: Ledger, experiment: str) -> dict[str, int]:
    table = schema.exposures
    query = (
        select(table.c.variant, func.count())
        .where(table.c.experiment == experiment)
        .group_by(table.c.variant)
    )
    with ledger.engine.connect() as connection:
        return {str(variant): int(units) for variant, units in connection.execute(query)}
