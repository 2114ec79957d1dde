"""The ledger: one row per call, with roll-ups kept in the same transaction.

SQLite (WAL) in the data folder by default, PostgreSQL by URL. Opening migrates; a corrupted SQLite
file is moved aside, what can still be read of it is taken over, and that is said.
"""

import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError

from allotrope.exceptions import InputError, StoreError
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.usage import rows as shapes
from allotrope.usage import schema
from allotrope.usage.rows import CallRow
from allotrope.usage.salvage import is_corrupted, move_aside, readable_rows

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 2_000


def ledger_path(settings: Settings) -> Path:
    """Where the SQLite ledger lies."""
    return data_folder(settings) / "usage.db"


def make_ledger(settings: Settings) -> "Ledger":
    """The ledger of these settings, not yet opened."""
    url = settings.usage.ledger_url
    return Ledger(
        url.get_secret_value() if url is not None else f"sqlite:///{ledger_path(settings)}"
    )


def open_ledger(settings: Settings) -> "Ledger":
    """The ledger of these settings, opened and migrated.

    Raises:
        StoreError: It can't be opened.
    """
    return make_ledger(settings).open()


class Ledger:
    """Writes calls and reads single facts; `allotrope.usage.queries` reads sums.

    Args:
        url: SQLAlchemy URL of SQLite or PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.path: Path | None = None
        self.salt = b""
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The open engine.

        Raises:
            StoreError: The ledger isn't open.
        """
        if self._engine is None:
            raise StoreError("The usage ledger isn't open.", hint="Call open() first.")
        return self._engine

    def open(self) -> Self:
        """Connects and migrates; a corrupted SQLite file is moved aside and rebuilt.

        Raises:
            StoreError: The database can't be reached, or its schema is of a newer version.
        """
        try:
            self._connect()
        except DatabaseError as exc:
            if self.path is None or not is_corrupted(exc):
                self.close()
                raise StoreError(
                    f"The usage ledger can't be opened: {_reason(exc)}.",
                    hint="Check ALLOTROPE_USAGE__LEDGER_URL.",
                ) from exc
            self.rebuild()
        return self

    def close(self) -> None:
        """Closes all connections; the ledger can be opened again."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def __enter__(self) -> Self:
        return self if self._engine is not None else self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def rebuild(self) -> int:
        """Moves a corrupted SQLite file aside and starts a new one with what can be read of it.

        Returns:
            How many calls were saved from the old file.
        """
        if self.path is None:
            raise StoreError("Only a SQLite ledger can be rebuilt here.")
        self.close()
        aside = move_aside(self.path)
        self._connect()
        saved = 0
        if aside is not None:
            for batch in readable_rows(aside):
                saved += self.write(batch)
            logger.error(
                "The usage ledger %s was corrupted. It was moved to %s; %d calls were taken over.",
                self.path,
                aside,
                saved,
            )
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
            insert = self._insert(schema.calls).on_conflict_do_nothing()
            connection.execute(insert, [row.values() for row in new])
            self._add_rollups(connection, new)
        return len(new)

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
        self._replace(schema.feedback, [values], ("score", "source", "note", "at"))

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
        return self._add_once(schema.exposures, values | {"at": _now(at), "run": run_id})

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
        self._replace(schema.findings, [values | {"detail": detail}], changing)

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
        self._replace(
            schema.shadows, [values | {"correct": int(correct)}], ("similarity", "correct")
        )

    def raise_alert(
        self, key: str, *, kind: str, severity: str, title: str, message: str, at: datetime
    ) -> bool:
        """Notes an alert.

        Returns:
            True if nobody, in any process, raised this key before.
        """
        values = {"key": key, "kind": kind, "severity": severity, "title": title}
        values |= {"message": message}
        return self._add_once(schema.alerts, values | {"at": shapes.microseconds(at)})

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
        old = select(schema.calls.c.id).where(schema.calls.c.at < limit).limit(5_000)
        deleted = 0
        while True:
            with self.transaction() as connection:
                done = connection.execute(delete(schema.calls).where(schema.calls.c.id.in_(old)))
            deleted += done.rowcount
            if done.rowcount < 5_000:
                return deleted

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction; SQLite takes its write lock at once, so that it can't fail late."""
        with self.engine.connect() as connection:
            if self.path is not None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.exec_driver_sql("ROLLBACK")
                    raise
                connection.exec_driver_sql("COMMIT")
            else:
                with connection.begin():
                    yield connection

    def _connect(self) -> None:
        try:
            options: dict[str, Any] = {}
            if self.url.startswith("postgresql"):
                options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 5}}
            engine = create_engine(self.url, **options)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as exc:
            raise StoreError(
                "ALLOTROPE_USAGE__LEDGER_URL is no database URL that can be used here.",
                hint="Use postgresql+psycopg://… (pip install 'allotrope[postgres]') or sqlite:///…",
            ) from exc
        self._engine = engine
        if engine.dialect.name == "sqlite":
            if engine.url.database in (None, "", ":memory:"):
                raise StoreError("The usage ledger needs a file, not memory.")
            self.path = Path(str(engine.url.database))
            self._engine = engine = engine.execution_options(isolation_level="AUTOCOMMIT")
            event.listen(engine, "connect", _set_up_sqlite)
        elif engine.dialect.name != "postgresql":
            raise StoreError(f"The usage ledger knows no {engine.dialect.name} databases.")
        self._migrate()

    def _migrate(self) -> None:
        with self.transaction() as connection:
            if self.path is None:  # SQLite's BEGIN IMMEDIATE is the lock there
                connection.execute(text("SELECT pg_advisory_xact_lock(4711006)"))
            connection.execute(
                text("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
            )
            version = connection.scalar(text("SELECT max(version) FROM schema_version")) or 0
            if version > len(schema.MIGRATIONS):
                raise StoreError(
                    f"The usage ledger has schema version {version}; this program knows "
                    f"{len(schema.MIGRATIONS)}.",
                    hint="Update allotrope.",
                )
            for number, statements in enumerate(schema.MIGRATIONS, start=1):
                if number <= version:
                    continue
                clustered = " WITHOUT ROWID" if self.path is not None else ""
                for statement in statements:
                    connection.execute(text(statement.replace("{clustered}", clustered)))
                connection.execute(
                    text("INSERT INTO schema_version VALUES (:number)"), {"number": number}
                )
            salt = connection.scalar(
                select(schema.meta.c.value).where(schema.meta.c.name == "salt")
            )
            if salt is None:
                salt = secrets.token_hex(16)
                connection.execute(schema.meta.insert(), {"name": "salt", "value": salt})
        self.salt = bytes.fromhex(salt)

    def _insert(self, table: Table) -> Any:
        dialect = sqlite if self.path is not None else postgresql
        return dialect.insert(table)

    def _add_once(self, table: Table, values: dict[str, Any]) -> bool:
        """Adds a row unless its key is there; `rowcount` tells that for SQLite only."""
        statement = self._insert(table).values(values).on_conflict_do_nothing()
        with self.transaction() as connection:
            return connection.execute(statement.returning(table.c.at)).first() is not None

    def _replace(self, table: Table, values: list[dict[str, Any]], changing: Iterable[str]) -> None:
        insert = self._insert(table)
        statement = insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: insert.excluded[name] for name in changing},
        )
        with self.transaction() as connection:
            connection.execute(statement, values)

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
        insert = self._insert(table)
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


def _set_up_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _now(at: datetime | None) -> int:
    return shapes.microseconds(at or datetime.now(UTC))


def _reason(exc: DatabaseError) -> str:
    """The driver's own first line; it names no password (SQLAlchemy's text may)."""
    if isinstance(exc, OperationalError) or exc.orig is not None:
        return str(exc.orig).splitlines()[0] if str(exc.orig) else type(exc.orig).__name__
    return type(exc).__name__
