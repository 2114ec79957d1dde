"""Where keys are kept: `keys.db` in the data folder, or the PostgreSQL that has the ledger."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Engine,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    event,
    select,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.schema import CreateTable

from allotrope.exceptions import InputError, StoreError
from allotrope.identity.keys import Key, check_key, digest_of, new_id, new_secret, text_of
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.stores.postgres.connections import bounded_engine, lock_for_tables, sqlalchemy_url
from allotrope.stores.private import make_private
from allotrope.stores.sqlite import write_ahead

_SQLITE = "sqlite:///"
_BUSY_TIMEOUT_MS = 2_000
_LOCK = 4711007
"""Number of PostgreSQL's lock for this table."""

_keys = Table(
    "allotrope_keys",
    MetaData(),
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("digest", "name", "tenant", "user_name")),
    *(Column(name, Text) for name in ("agents", "tools", "usd")),
    Column("tokens", BigInteger),
    Column("period", Text, nullable=False),
    Column("requests_per_minute", Integer),
    Column("operator", Integer, nullable=False),
    Column("made_at", Double, nullable=False),
    *(Column(name, Double) for name in ("expires_at", "revoked_at")),
    Column("former_digest", Text, nullable=False),
    Column("former_until", Double, nullable=False),
)
"""One row per key; no secret can be read from it."""


def keys_url(settings: Settings) -> str:
    """The SQLAlchemy URL of the keys; it may hold a password."""
    url = settings.usage.ledger_url
    if url is not None and url.get_secret_value().startswith("postgres"):
        return sqlalchemy_url(url.get_secret_value())
    return f"{_SQLITE}{data_folder(settings) / 'keys.db'}"


class KeyStore:
    """The keys of a server, or of several that share a PostgreSQL. Making one does no I/O.

    Args:
        settings: Where they are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> "KeyStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections; the next use opens them again."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def create(self, key: Key) -> tuple[Key, str]:
        """Makes a key.

        Args:
            key: What it may do; id, digest and moment are made here.

        Returns:
            What is kept, and the text for its owner, which can't be had again.

        Raises:
            InputError: It can't be a key.
            StoreError: The keys can't be reached.
        """
        secret = new_secret()
        made = replace(key, id=new_id(), digest=digest_of(secret), made_at=time.time())
        check_key(made)
        with self._connected() as connection:
            connection.execute(_keys.insert(), _values(made))
        return made, text_of(made.id, secret)

    def get(self, id: str) -> Key | None:
        """A key by its id, or None.

        Raises:
            StoreError: The keys can't be reached.
        """
        with self._connected() as connection:
            row = connection.execute(select(_keys).where(_keys.c.id == id)).first()
        return None if row is None else _key(row)

    def all(self) -> list[Key]:
        """Every key, the latest first.

        Raises:
            StoreError: The keys can't be reached.
        """
        with self._connected() as connection:
            rows = connection.execute(select(_keys).order_by(_keys.c.made_at.desc())).all()
        return [_key(row) for row in rows]

    def revoke(self, id: str) -> Key:
        """Ends a key; servers refuse it within three seconds.

        Raises:
            InputError: There is no such key.
            StoreError: The keys can't be reached.
        """
        key = self._known(id)
        if key.revoked_at is None:
            key = replace(key, revoked_at=time.time())
            self._change(key)
        return key

    def rotate(self, id: str, *, grace_s: float = 0.0) -> tuple[Key, str]:
        """Gives a key another secret; it stays the same caller.

        Args:
            id: Which key.
            grace_s: So long the former secret is good beside it, seconds.

        Returns:
            What is kept, and the new text.

        Raises:
            InputError: There is no such key, or it was revoked.
            StoreError: The keys can't be reached.
        """
        key = self._known(id)
        if key.revoked_at is not None:
            raise InputError(f"The key {id} was revoked.", hint="Make another one.")
        secret = new_secret()
        key = replace(
            key,
            digest=digest_of(secret),
            former_digest=key.digest if grace_s > 0 else "",
            former_until=time.time() + grace_s,
        )
        self._change(key)
        return key, text_of(id, secret)

    def _known(self, id: str) -> Key:
        key = self.get(id)
        if key is None:
            raise InputError(
                f"There is no key {id[:60]!r}.", hint="`allotrope keys list` shows all."
            )
        return key

    def _change(self, key: Key) -> None:
        with self._connected() as connection:
            connection.execute(_keys.update().where(_keys.c.id == key.id), _values(key))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._open().begin() as connection:
                yield connection
        except DBAPIError as exc:
            raise StoreError(
                f"The keys can't be reached: {type(exc.orig).__name__}.",
                hint="Run `allotrope doctor`.",
            ) from exc

    def _open(self) -> Engine:
        with self._lock:
            if self._engine is None:
                url = keys_url(self._settings)
                if url.startswith(_SQLITE):
                    _make_private(Path(url.removeprefix(_SQLITE)))
                options = {"pool_pre_ping": True} if url.startswith("postgresql") else {}
                try:
                    engine = bounded_engine(url, **options)
                except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as exc:
                    raise StoreError(
                        "ALLOTROPE_USAGE__LEDGER_URL is no database URL that can be used here."
                    ) from exc
                if engine.dialect.name == "sqlite":
                    event.listen(engine, "connect", _set_up_sqlite)
                with engine.begin() as connection:
                    lock_for_tables(connection, _LOCK)
                    connection.execute(CreateTable(_keys, if_not_exists=True))
                self._engine = engine
            return self._engine


def _make_private(path: Path) -> None:
    """The file, for its owner only; what SQLite puts beside it gets the same mode."""
    make_private(path)
    try:
        path.chmod(0o600)
    except OSError as exc:
        raise StoreError(f"The keys {path} can't be opened: {exc.strerror}.") from exc


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}").close()
    write_ahead(connection, timeout_s=_BUSY_TIMEOUT_MS / 1000)


def _values(key: Key) -> dict[str, Any]:
    values = asdict(key)
    values["user_name"] = values.pop("user")
    values["agents"] = None if key.agents is None else json.dumps(key.agents)
    values["tools"] = None if key.tools is None else json.dumps(key.tools)
    values["usd"] = None if key.usd is None else str(key.usd)
    values["operator"] = int(key.operator)
    return values


def _key(row: Row[Any]) -> Key:
    values = dict(row._mapping)
    values["user"] = values.pop("user_name")
    for name in ("agents", "tools"):
        if values[name] is not None:
            values[name] = tuple(json.loads(values[name]))
    if values["usd"] is not None:
        values["usd"] = Decimal(values["usd"])
    values["operator"] = bool(values["operator"])
    return Key(**values)
