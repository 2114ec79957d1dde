"""Templates in a database: one table of versions, one of label changes. Rows are only added."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from allotrope.exceptions import PromptError
from allotrope.prompts.stores.sources import LabelChange, Labels, SourceState, now
from allotrope.stores.damage import Identity, folder_lock, identity, is_damaged, move_aside, say
from allotrope.stores.postgres.connections import bounded_engine, lock_for_tables, sqlalchemy_url
from allotrope.stores.private import make_private
from allotrope.stores.sqlite import copy_readable

T = TypeVar("T")

_SQLITE = "sqlite:///"

_LOCK = 7205759403
"""The advisory lock of these tables in PostgreSQL."""

_META = sa.MetaData()
_TEMPLATES = sa.Table(
    "allotrope_prompts",
    _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("ref", sa.String(100), nullable=False, index=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
)
_CHANGES = sa.Table(
    "allotrope_prompt_labels",
    _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.String(60), nullable=False),
    sa.Column("name", sa.String(90), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("was", sa.Integer),
    sa.Column("by", sa.String(60), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
)


class DatabaseSource:
    """Templates in a database; drafts are replaced by newer rows, nothing is updated or deleted.

    Args:
        url: SQLAlchemy URL (`sqlite:///…`, `postgresql://…`, by psycopg where no driver is named).
            The tables are made at the first use when they are missing.
    """

    name = "database"
    writable = True

    def __init__(self, url: str) -> None:
        self._url = sqlalchemy_url(url)
        self._file = Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None
        self._engine: sa.Engine | None = None

    def _do(self, what: str, work: Callable[[sa.Engine], T]) -> T:
        """Does work; once more where a SQLite file was damaged and is begun anew."""
        seen = None if self._file is None else identity(self._file)
        try:
            try:
                return work(self._open())
            except SQLAlchemyError as exc:
                if self._file is None or not is_damaged(exc):
                    raise
                self._renew(self._file, seen)
                return work(self._open())
        except SQLAlchemyError as exc:
            raise _failed(what, exc) from exc

    def _renew(self, file: Path, seen: Identity | None) -> None:
        """Moves the damaged file aside, and takes over what can be read of it."""
        self._engine = None
        with folder_lock(file.parent):
            aside = move_aside(file, opened=seen)
            if aside is None:
                return  # another process was first
            self._open()
            with closing(sqlite3.connect(file)) as connection:
                copied = copy_readable(connection, aside, (_TEMPLATES.name, _CHANGES.name))
                connection.commit()
        say(
            "The database of prompts",
            file,
            aside,
            instead=f"{copied[_TEMPLATES.name]:,} texts and {copied[_CHANGES.name]:,} changes of"
            " labels could be read and were taken over. A version that is missing is replaced by"
            " the one of your files or of the package; look at `allotrope prompts list`.",
        )

    def _open(self) -> sa.Engine:
        if self._engine is None:
            try:
                engine = bounded_engine(self._url, poolclass=sa.NullPool)
                if engine.dialect.name == "sqlite" and engine.url.database not in (
                    None,
                    ":memory:",
                ):
                    make_private(str(engine.url.database))
                with engine.begin() as connection:
                    lock_for_tables(connection, _LOCK)
                    _META.create_all(connection)
            except (SQLAlchemyError, ImportError) as exc:
                if is_damaged(exc):
                    raise
                raise _failed("opened", exc) from exc
            self._engine = engine
        return self._engine

    def read(self, previous: SourceState | None) -> SourceState:
        """What is there now; `previous` itself when no row was added."""
        found = self._do("read", lambda engine: _rows(engine, previous))
        if found is None:
            assert previous is not None
            return previous
        signature, rows, changes = found
        labels: dict[str, dict[str, int]] = {}
        for change in changes:
            labels.setdefault(change.label, {})[change.name] = change.version
        history = tuple(_change(change) for change in changes)
        return SourceState(
            texts={row.ref: row.text for row in rows},
            origins={row.ref: f"database row {row.id} ({row.ref})" for row in rows},
            labels=Labels(labels=labels, history=history),
            locks={f"{c.name}@{c.version}": c.hash for c in reversed(changes)},
            signature=signature,
        )

    def write(self, ref: str, text: str) -> str:
        """Adds a row; the newest row of a reference counts until the reference is locked."""

        def work(engine: sa.Engine) -> None:
            with engine.begin() as connection:
                connection.execute(_TEMPLATES.insert().values(ref=ref, text=text, at=now()))

        self._do("written", work)
        return f"database row of {ref}"

    def label(self, change: LabelChange, *, digest: str) -> None:
        """Adds a row to the label's history; its hash locks the version."""

        def work(engine: sa.Engine) -> None:
            with engine.begin() as connection:
                first = connection.execute(
                    sa.select(_CHANGES.c.hash)
                    .where(_CHANGES.c.name == change.name, _CHANGES.c.version == change.version)
                    .order_by(_CHANGES.c.id)
                    .limit(1)
                ).scalar()
                if first is not None and first != digest:
                    raise PromptError(
                        f"{change.name}@{change.version} was changed after it had been live.",
                        hint=f"Make a new version: `allotrope prompts new {change.name}`.",
                    )
                connection.execute(_CHANGES.insert().values(**change.model_dump(), hash=digest))

        self._do("written", work)


def _rows(
    engine: sa.Engine, previous: SourceState | None
) -> tuple[tuple[int, ...], Sequence[Any], Sequence[Any]] | None:
    """Signature, newest texts and changes of labels; None where nothing was added."""
    with engine.connect() as connection:
        signature = tuple(
            connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0
            for table in (_TEMPLATES, _CHANGES)
        )
        if previous is not None and previous.signature == signature:
            return None
        newest = sa.select(sa.func.max(_TEMPLATES.c.id)).group_by(_TEMPLATES.c.ref)
        rows = connection.execute(
            sa.select(_TEMPLATES.c.ref, _TEMPLATES.c.text, _TEMPLATES.c.id).where(
                _TEMPLATES.c.id.in_(newest)
            )
        ).all()
        changes = connection.execute(sa.select(_CHANGES).order_by(_CHANGES.c.id)).all()
    return signature, rows, changes


def _change(row: Any) -> LabelChange:
    return LabelChange(
        at=row.at, label=row.label, name=row.name, version=row.version, was=row.was, by=row.by
    )


def _failed(what: str, exc: Exception) -> PromptError:
    """An error without the URL, which may hold a password."""
    reason = str(getattr(exc, "orig", None) or type(exc).__name__).split("\n", 1)[0]
    return PromptError(
        f"The database of prompts can't be {what}: {reason}.",
        hint="Check ALLOTROPE_PROMPTS__DATABASE_URL.",
    )
