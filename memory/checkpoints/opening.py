"""Where threads are kept: SQLite in the data folder, or PostgreSQL by URL.

Only messages and plain types are ever read back from a checkpoint (strict msgpack): whoever can
write into the database can't make us run code.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver

from allotrope.exceptions import StoreError
from allotrope.memory.checkpoints.sqlite_saver import AsyncPrunedSqliteSaver, PrunedSqliteSaver
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.stores.postgres.connections import AsyncConnections, Connections, driver
from allotrope.stores.sqlite import SqliteFile, copy_readable
from allotrope.support.pools import UPKEEP

_WHAT = "The threads"

SCHEMA_VERSION = 1
"""Of what we put into checkpoints; every version reads the threads of all earlier ones."""


@contextmanager
def open_checkpoints(settings: Settings) -> Iterator[BaseCheckpointSaver[Any]]:
    """The store of threads for sync calls.

    Args:
        settings: Its `checkpoint_url` names a PostgreSQL; else SQLite in the data folder.

    Raises:
        StoreError: It can't be opened, or a newer version wrote it.
    """
    if settings.checkpoint_url is not None:
        url = settings.checkpoint_url.get_secret_value()
        with _postgres(url, settings.memory.keep_checkpoints) as saver:
            yield saver
        return
    file = _file(settings)
    saver_ = PrunedSqliteSaver(file.connection(), keep=settings.memory.keep_checkpoints, file=file)
    try:
        yield saver_
    finally:
        saver_.close()


@asynccontextmanager
async def open_async_checkpoints(settings: Settings) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """The store of threads for async calls; see `open_checkpoints`."""
    if settings.checkpoint_url is not None:
        keep = settings.memory.keep_checkpoints
        driver()
        from allotrope.memory.checkpoints.postgres_saver import AsyncPrunedPostgresSaver

        url = settings.checkpoint_url.get_secret_value()
        await UPKEEP.run(_make_tables, url, keep)
        # no second generator around it: a loop that ends closes all at once, in any order
        connections = AsyncConnections(url, what=_WHAT)
        try:
            yield AsyncPrunedPostgresSaver(connections, keep=keep)
        finally:
            await connections.aclose()
        return
    file = _file(settings)
    connection = await UPKEEP.run(file.connection)
    saver_ = AsyncPrunedSqliteSaver(connection, keep=settings.memory.keep_checkpoints, file=file)
    try:
        yield saver_
    finally:
        await saver_.aclose()


def _file(settings: Settings) -> SqliteFile:
    path = data_folder(settings) / "checkpoints.sqlite"

    def prepare(connection: sqlite3.Connection) -> None:
        SqliteSaver(connection).setup()
        _check_version(connection, str(path))

    return SqliteFile(
        path,
        what="The threads' file",
        prepare=prepare,
        refill=_refill,
        isolation_level="DEFERRED",
        timeout_s=30,
    )


def _refill(connection: sqlite3.Connection, damaged: Path) -> str:
    copied = copy_readable(connection, damaged, ("checkpoints", "writes"))
    [(threads,)] = connection.execute(
        "SELECT count(DISTINCT thread_id) FROM checkpoints"
    ).fetchall()
    connection.commit()
    return (
        f"{threads:,} threads ({copied['checkpoints']:,} checkpoints) could be read and were taken"
        " over. A thread that couldn't be read begins anew at its next turn; what was said in it is"
        " in the archive (`allotrope memory export THREAD`)."
    )


@contextmanager
def _postgres(url: str, keep: int) -> Iterator[BaseCheckpointSaver[Any]]:
    driver()
    from allotrope.memory.checkpoints.postgres_saver import PrunedPostgresSaver

    connections = Connections(url, what=_WHAT)
    try:
        saver = PrunedPostgresSaver(connections, keep=keep)
        saver.setup()
        yield saver
    finally:
        connections.close()


def _make_tables(url: str, keep: int) -> None:
    with _postgres(url, keep):
        pass


def _check_version(connection: sqlite3.Connection, path: str) -> None:
    """Refuses a file that a newer version wrote; marks a new one."""
    connection.execute("CREATE TABLE IF NOT EXISTS allotrope_schema (version INTEGER NOT NULL)")
    row = connection.execute("SELECT max(version) FROM allotrope_schema").fetchone()
    if row[0] is None:
        connection.execute("INSERT INTO allotrope_schema VALUES (?)", (SCHEMA_VERSION,))
        connection.commit()
    if row[0] is not None and int(row[0]) > SCHEMA_VERSION:
        raise StoreError(
            f"The threads in {path} were written by a newer Allotrope (version {row[0]}).",
            hint="Upgrade: pip install -U allotrope",
        )
