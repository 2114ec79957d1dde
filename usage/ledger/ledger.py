"""The ledger: one row per call, with roll-ups kept in the same transaction.

SQLite (WAL) in the data folder by default, PostgreSQL by URL. Opening migrates; a damaged SQLite
file is moved aside, what can still be read of it is taken over, and that is said.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

from sqlalchemy import Connection, Table, bindparam, delete, func, select
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from allotrope.exceptions import InputError, StoreError
from allotrope.settings import Settings
from allotrope.stores import damage
from allotrope.stores.errors import error_name
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.database import Database
from allotrope.usage.ledger.places import ledger_url, spill_path
from allotrope.usage.recorder import rows as shapes
from allotrope.usage.recorder.rows import CallRow
from allotrope.usage.recorder.salvage import PRUNED_NOTE, take_over
from allotrope.usage.recorder.spill import Spill

logger = logging.getLogger(__name__)


def make_ledger(settings: Settings) -> "Ledger":
    """The ledger of these settings, not yet opened."""
    return Ledger(ledger_url(settings))


def open_ledger(settings: Settings) -> "Ledger":
    """The ledger of these settings, opened and migrated, with what waited in the spill.

    Raises:
        StoreError: It can't be opened.
    """
    ledger = make_ledger(settings).open()
    spill = Spill(spill_path(settings))
    if spill.path.exists():
        try:
            spill.pick_up(ledger.write)
        except (SQLAlchemyError, StoreError, OSError) as exc:
            logger.warning("Calls wait in %s: %s", spill.path, error_name(exc))
    return ledger


class Ledger(Database):
    """Writes calls and reads single facts; `allotrope.usage.queries.sums` reads sums.

    Args:
        url: SQLAlchemy URL of SQLite or PostgreSQL.
    """

    def open(self) -> Self:
        """Connects and migrates; a damaged SQLite file is moved aside and rebuilt.

        Raises:
            StoreError: The database can't be reached, or its schema is of a newer version.
        """
        try:
            self.connect()
        except DatabaseError as exc:
            self.close()
            raise StoreError(
                f"The usage ledger can't be opened: {_reason(exc)}.",
                hint="Check ALLOTROPE_USAGE__LEDGER_URL.",
            ) from exc
        except StoreError:
            if self._engine is None or self._file is None:  # else it was damaged, and is new now
                self.close()
                raise
        return self

    def __enter__(self) -> Self:
        return self if self._engine is not None else self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def rebuild(self) -> int:
        """Moves a damaged SQLite file aside and starts a new one with what can be read of it.

        The ledger does so by itself where it meets damage; what met it raises a `StoreError`.

        Roll-ups are made anew from the calls; for days whose calls were pruned the old ones stay.

        Returns:
            How many calls were saved from the old file.
        """
        if self.path is None:
            raise StoreError("Only a SQLite ledger can be rebuilt here.")
        opened = self._file or self._found
        self.close()
        with damage.folder_lock(self.path.parent):
            aside = damage.move_aside(self.path, opened=opened)
            self.connect()
        if aside is None:  # another process was first
            return 0
        saved = take_over(self, aside)
        instead = f"{saved:,} calls were taken over, and the scores and sums that can be read."
        damage.say("The usage ledger", self.path, aside, instead=instead)
        return saved

    def write(self, rows: Sequence[CallRow]) -> int:
        """Adds calls and their roll-ups in one transaction; known ids are left as they are.

        Args:
            rows: Calls, in any order.

        Returns:
            How many were new.

        Raises:
            sqlalchemy.exc.OperationalError: The database is locked, full or gone; nothing changed.
        """
        if not rows:
            return 0
        unique = {row.id: row for row in rows}
        with self.transaction() as connection:
            known = self._known(connection, list(unique))
            new = [row for row in unique.values() if row.id not in known]
            if not new:
                return 0
            insert = self.insert(schema.calls).on_conflict_do_nothing()
            connection.execute(insert, [row.values() for row in new])
            self._add_rollups(connection, new)
        return len(new)

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of these calls that are here."""
        with self.engine.connect() as connection:
            return self._known(connection, list(ids))

    def record_feedback(
        self,
        run_id: str,
        score: float,
        *,
        metric: str = "score",
        source: str = "user",
        note: str = "",
        at: datetime | None = None,
    ) -> None:
        """Keeps a score of a run; a second score of the same metric replaces the first.

        Raises:
            InputError: The score isn't a finite number, or the run id is empty.
        """
        if not run_id.strip():
            raise InputError("Feedback needs the id of a run.")
        if not -1e9 < score < 1e9:
            raise InputError(f"The score {score!r} isn't a finite number.")
        values = {"run": run_id, "metric": metric, "score": score, "source": source}
        values |= {"note": note[:500], "at": _now(at)}
        self.replace(schema.feedback, [values], ("score", "source", "note", "at"))

    def record_exposure(
        self,
        experiment: str,
        unit: str,
        variant: str,
        *,
        run_id: str = "",
        at: datetime | None = None,
    ) -> bool:
        """Keeps which variant a unit saw first.

        Returns:
            True for the first exposure of the unit; later ones change nothing.
        """
        values = {"experiment": experiment, "unit": unit, "variant": variant}
        return self.add_once(schema.exposures, values | {"at": _now(at), "run": run_id})

    def record_finding(
        self,
        experiment: str,
        *,
        agent: str,
        model: str,
        baseline_model: str,
        equal: bool,
        samples: int,
        detail: str = "",
        at: datetime | None = None,
    ) -> None:
        """Keeps what an experiment found: is `model` as good as `baseline_model` for the agent?"""
        values = {"experiment": experiment, "agent": agent, "model": model, "at": _now(at)}
        values |= {"baseline_model": baseline_model, "equal": int(equal), "samples": samples}
        changing = ("baseline_model", "equal", "samples", "detail", "at")
        self.replace(schema.findings, [values | {"detail": detail}], changing)

    def record_shadow(
        self,
        id: str,
        similarity: float,
        *,
        correct: bool,
        tenant: str = "",
        at: datetime | None = None,
    ) -> None:
        """Keeps one shadow measurement of the semantic cache."""
        values = {"id": id, "at": _now(at), "tenant": tenant, "similarity": similarity}
        self.replace(
            schema.shadows, [values | {"correct": int(correct)}], ("similarity", "correct")
        )

    def note(self, name: str) -> str | None:
        """A small fact that was kept under a name."""
        query = select(schema.meta.c.value).where(schema.meta.c.name == name)
        with self.engine.connect() as connection:
            return connection.scalar(query)

    def set_note(self, name: str, value: str) -> None:
        """Keeps a small fact under a name."""
        self.replace(schema.meta, [{"name": name, "value": value}], ("value",))

    def claim(self, name: str, value: str) -> bool:
        """Keeps a small fact under a name that nobody took before.

        Returns:
            True if it was free: of all processes that ask, one gets it.
        """
        return self.add_once(schema.meta, {"name": name, "value": value})

    def release(self, name: str) -> None:
        """Gives a claimed name back."""
        with self.transaction() as connection:
            connection.execute(delete(schema.meta).where(schema.meta.c.name == name))

    def raise_alert(
        self, key: str, *, kind: str, severity: str, title: str, message: str, at: datetime
    ) -> bool:
        """Notes an alert.

        Returns:
            True if nobody, in any process, raised this key before.
        """
        values = {"key": key, "kind": kind, "severity": severity, "title": title}
        values |= {"message": message}
        return self.add_once(schema.alerts, values | {"at": shapes.microseconds(at)})

    def prune(self, *, keep_days: int, now: datetime | None = None) -> int:
        """Deletes single calls older than `keep_days`; roll-ups stay.

        Returns:
            How many calls were deleted.

        Raises:
            InputError: `keep_days` is below 1.
        """
        if keep_days < 1:
            raise InputError(f"Calls must be kept for at least one day, not {keep_days}.")
        limit = _now((now or datetime.now(UTC)) - timedelta(days=keep_days))
        self.set_note(PRUNED_NOTE, str(limit))
        old = select(schema.calls.c.id).where(schema.calls.c.at < limit).limit(5_000)
        deleted = 0
        while True:
            with self.transaction() as connection:
                done = connection.execute(delete(schema.calls).where(schema.calls.c.id.in_(old)))
            deleted += done.rowcount
            if done.rowcount < 5_000:
                return deleted

    def _known(self, connection: Connection, ids: list[str]) -> set[str]:
        wanted = select(schema.calls.c.id).where(
            schema.calls.c.id.in_(bindparam("ids", expanding=True))
        )
        known: set[str] = set()
        for start in range(0, len(ids), 500):
            found = connection.execute(wanted, {"ids": ids[start : start + 500]})
            known.update(found.scalars())
        return known

    def _add_rollups(self, connection: Connection, new: Sequence[CallRow]) -> None:
        for table, width in ((schema.hourly, shapes.HOUR_US), (schema.daily, shapes.DAY_US)):
            self._add_sums(connection, table, shapes.rollups(new, width))
        by_day = shapes.scope_sums(new)
        self._add_sums(connection, schema.scopes, by_day)
        self._add_sums(connection, schema.scopes_monthly, shapes.by_month(by_day))
        for table, width in (
            (schema.latencies, shapes.HOUR_US),
            (schema.latencies_daily, shapes.DAY_US),
        ):
            counts = shapes.latency_counts(new, width)
            self._add_sums(connection, table, {key: {"calls": n} for key, n in counts.items()})

    def _add_sums(self, connection: Connection, table: Table, sums: shapes.Sums) -> None:
        if not sums:
            return
        keys = [column.name for column in table.primary_key.columns]
        insert = self.insert(table)
        measures = [column.name for column in table.columns if column.name not in keys]
        statement = insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: table.c[name] + insert.excluded[name] for name in measures},
        )
        # Sorted, so that two processes lock PostgreSQL's rows in the same order.
        values = [dict(zip(keys, key, strict=True)) | sums[key] for key in sorted(sums, key=repr)]
        connection.execute(statement, values)

    def last_at(self) -> datetime | None:
        """When the latest recorded call began."""
        with self.engine.connect() as connection:
            at = connection.scalar(select(func.max(schema.calls.c.at)))
        return None if at is None else shapes.moment(at)


def _now(at: datetime | None) -> int:
    return shapes.microseconds(at or datetime.now(UTC))


def _reason(exc: DatabaseError) -> str:
    """The driver's own first line; it names no password (SQLAlchemy's text may)."""
    if isinstance(exc, OperationalError) or exc.orig is not None:
        return str(exc.orig).splitlines()[0] if str(exc.orig) else type(exc.orig).__name__
    return error_name(exc)
