"""The ledger's database: connecting, migrating and writing, in SQLite and PostgreSQL alike."""

import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, event, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
    StatementError,
)

from allotrope.exceptions import StoreError
from allotrope.stores import damage
from allotrope.stores.postgres.connections import (
    bounded_engine,
    lock_for_tables,
    patient,
    sqlalchemy_url,
)
from allotrope.stores.private import make_private
from allotrope.stores.sqlite import write_ahead
from allotrope.support.extras import install
from allotrope.usage.ledger import schema
from allotrope.usage.recorder.rows import storable

_SALT = select(schema.meta.c.value).where(schema.meta.c.name == "salt")

BUSY_TIMEOUT_MS = 2_000


class Database:
    """A connection to the ledger's database.

    Args:
        url: SQLAlchemy URL of SQLite or PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self.url = sqlalchemy_url(url)
        self.path: Path | None = None
        self.salt = b""
        self._engine: Engine | None = None
        self._file: damage.Identity | None = None
        self._found: damage.Identity | None = None
        self._mending = False
        self._lock = threading.RLock()

    @property
    def engine(self) -> Engine:
        """The open engine, on the file that has the name now.

        Where another process moved a damaged file aside, ours is open on something that nobody
        reads any more; so the name is looked at each time (some microseconds).

        Raises:
            StoreError: The ledger isn't open.
        """
        if self._engine is None:
            raise StoreError("The usage ledger isn't open.", hint="Call open() first.")
        if self._has_moved():
            with self._lock:
                if self._has_moved():
                    self._engine.dispose()
                    self.connect()
        return self._engine

    def _has_moved(self) -> bool:
        path, file = self.path, self._file
        return path is not None and file is not None and damage.identity(path) != file

    def rebuild(self) -> int:
        """Puts a new file in a damaged one's place."""
        raise NotImplementedError

    def _on_error(self, context: Any) -> None:
        """Mends a damaged file as soon as an error of it is met, in whatever is asked."""
        if self._mending or not damage.is_damaged(context.original_exception):
            return
        with self._lock:
            self._mending = True
            try:
                self.rebuild()
            finally:
                self._mending = False
        context.is_disconnect = True  # it is open on the old file, and belongs to no pool any more
        raise StoreError(
            f"The usage ledger {self.path} was damaged. It was moved aside, and what can be read "
            "of it is in a new one.",
            hint="Ask again.",
        ) from context.original_exception

    def close(self) -> None:
        """Closes all connections; the ledger can be opened again."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = self._file = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction; SQLite takes its write lock at once, so that it can't fail late."""
        with self.engine.connect() as connection:
            if self.path is not None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    if not connection.invalidated:
                        connection.exec_driver_sql("ROLLBACK")
                    raise
                connection.exec_driver_sql("COMMIT")
            else:
                with connection.begin():
                    yield connection

    def connect(self) -> None:
        """Connects and migrates.

        Raises:
            StoreError: The URL can't be used, or the schema is of a newer version.
            sqlalchemy.exc.DatabaseError: The database can't be reached, or is corrupted.
        """
        try:
            options: dict[str, Any] = {}
            if self.url.startswith("postgresql"):
                options = {"pool_pre_ping": True}
            engine = bounded_engine(self.url, **options)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as exc:
            raise StoreError(
                "ALLOTROPE_USAGE__LEDGER_URL is no database URL that can be used here.",
                hint=f"Use sqlite:///… or postgresql://…, which needs {install('postgres')}",
            ) from exc
        before, self._engine, self._file = self._engine, engine, None
        if before is not None:  # or its connections would be left to the collector
            before.dispose()
        if engine.dialect.name == "sqlite":
            if engine.url.database in (None, "", ":memory:"):
                raise StoreError("The usage ledger needs a file, not memory.")
            self.path = Path(str(engine.url.database))
            make_private(self.path)
            self._found = damage.identity(self.path)
            event.listen(engine, "handle_error", self._on_error)
            event.listen(engine, "connect", _set_up_sqlite)
            self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        elif engine.dialect.name != "postgresql":
            raise StoreError(f"The usage ledger knows no {engine.dialect.name} databases.")
        if not self._is_current():
            self._migrate()
        if self.path is not None:
            self._file = damage.identity(self.path)

    def _is_current(self) -> bool:
        """Whether there is nothing to migrate; takes no lock, so that readers wait for nobody."""
        with self.engine.connect() as connection:
            if not inspect(connection).has_table("schema_version"):
                return False
            version = connection.scalar(text("SELECT max(version) FROM schema_version"))
            if version != len(schema.MIGRATIONS):
                return False
            salt = connection.scalar(_SALT)
        self.salt = bytes.fromhex(salt or "")
        return bool(salt)

    def _migrate(self) -> None:
        with self.transaction() as connection, patient(connection.connection.driver_connection):
            lock_for_tables(connection, 4711006)  # on SQLite BEGIN IMMEDIATE is the lock
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
            salt = connection.scalar(_SALT)
            if salt is None:
                salt = secrets.token_hex(16)
                connection.execute(schema.meta.insert(), {"name": "salt", "value": salt})
        self.salt = bytes.fromhex(salt)

    def insert(self, table: Table) -> Any:
        """An INSERT of this database's dialect, which knows ON CONFLICT."""
        dialect = sqlite if self.path is not None else postgresql
        return dialect.insert(table)

    def add_once(self, table: Table, values: dict[str, Any]) -> bool:
        """Adds a row unless its key is there; `rowcount` tells that for SQLite only."""
        statement = self.insert(table).values(_storable(values)).on_conflict_do_nothing()
        with self.transaction() as connection:
            returned = connection.execute(statement.returning(*table.primary_key.columns))
            return returned.first() is not None

    def replace(self, table: Table, values: list[dict[str, Any]], changing: Iterable[str]) -> None:
        """Adds rows; where a key is there already, its columns `changing` are overwritten."""
        insert = self.insert(table)
        statement = insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: insert.excluded[name] for name in changing},
        )
        with self.transaction() as connection:
            connection.execute(statement, [_storable(each) for each in values])


def _storable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: storable(v) if isinstance(v, str) else v for name, v in values.items()}


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}").close()
    write_ahead(connection, timeout_s=BUSY_TIMEOUT_MS / 1000)
    connection.execute("PRAGMA synchronous = NORMAL").close()


def is_the_rows(exc: Exception) -> bool:
    """Whether an error comes from a row's values, and not from the database or the machine."""
    if isinstance(exc, DBAPIError):
        return isinstance(exc, (DataError, IntegrityError))
    if isinstance(exc, StatementError):  # a value that couldn't be made one of the database's
        return True
    return not isinstance(exc, (SQLAlchemyError, StoreError, OSError, MemoryError))
