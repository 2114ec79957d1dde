"""Where threads are kept: SQLite in the data folder, or PostgreSQL by URL.

Only messages and plain types are ever read back from a checkpoint (strict msgpack): whoever can
write into the database can't make us run code.
"""

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from allotrope.exceptions import StoreError
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder

if TYPE_CHECKING:
    import aiosqlite

SCHEMA_VERSION = 1
"""Of what we put into checkpoints; every version reads the threads of all earlier ones."""

_PRUNE_EVERY = 20
_PRUNE = """
DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id < (
  SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ?
  ORDER BY checkpoint_id DESC LIMIT 1 OFFSET ?)
"""


def serializer() -> JsonPlusSerializer:
    """Reads back messages and plain types only."""
    return JsonPlusSerializer(allowed_msgpack_modules=None)


class _Pruning:
    """When a thread's oldest checkpoints go: they hold nothing that the newest doesn't.

    Args:
        keep: Checkpoints of a thread that stay, for time travel.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self._puts: Counter[tuple[str, str]] = Counter()

    def due(self, config: RunnableConfig) -> tuple[str, str] | None:
        place = config["configurable"]
        key = (str(place["thread_id"]), str(place.get("checkpoint_ns", "")))
        self._puts[key] += 1
        if self._puts[key] % _PRUNE_EVERY:
            return None
        if len(self._puts) > 10_000:
            self._puts.clear()
        return key

    def statements(self, key: tuple[str, str]) -> list[tuple[str, Sequence[Any]]]:
        values = (*key, *key, self.keep - 1)
        # writes first: their condition looks at the checkpoints
        return [(_PRUNE.format(table=table), values) for table in ("writes", "checkpoints")]


class PrunedSqliteSaver(SqliteSaver):
    """`SqliteSaver` that keeps the newest checkpoints of each thread, so that a file stays small.

    Args:
        connection: An open database.
        keep: Checkpoints of a thread that stay.
    """

    def __init__(self, connection: sqlite3.Connection, *, keep: int) -> None:
        super().__init__(connection, serde=serializer())
        self._pruning = _Pruning(keep)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint; now and then the oldest ones go."""
        saved = super().put(config, checkpoint, metadata, new_versions)
        key = self._pruning.due(config)
        if key is not None:
            with self.cursor() as cursor:
                for statement, values in self._pruning.statements(key):
                    cursor.execute(statement, values)
        return saved


class AsyncPrunedSqliteSaver(AsyncSqliteSaver):
    """`PrunedSqliteSaver`, asynchronously.

    Args:
        connection: An open database.
        keep: Checkpoints of a thread that stay.
    """

    def __init__(self, connection: "aiosqlite.Connection", *, keep: int) -> None:
        super().__init__(connection, serde=serializer())
        self._pruning = _Pruning(keep)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint; now and then the oldest ones go."""
        saved = await super().aput(config, checkpoint, metadata, new_versions)
        key = self._pruning.due(config)
        if key is not None:
            async with self.lock:
                for statement, values in self._pruning.statements(key):
                    await self.conn.execute(statement, values)
                await self.conn.commit()
        return saved


@contextmanager
def open_checkpoints(settings: Settings) -> Iterator[BaseCheckpointSaver[Any]]:
    """The store of threads for sync calls.

    Args:
        settings: Its `checkpoint_url` names a PostgreSQL; else SQLite in the data folder.

    Raises:
        StoreError: It can't be opened, or a newer version wrote it.
    """
    if settings.checkpoint_url is not None:
        with _postgres(settings.checkpoint_url) as saver:
            yield saver
        return
    path = data_folder(settings) / "checkpoints.sqlite"
    try:
        connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error as exc:
        raise _broken(str(path), exc) from exc
    try:
        _check_version(connection, str(path))
        saver_ = PrunedSqliteSaver(connection, keep=settings.memory.keep_checkpoints)
        saver_.setup()
        yield saver_
    finally:
        connection.close()


@asynccontextmanager
async def open_async_checkpoints(settings: Settings) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """The store of threads for async calls; see `open_checkpoints`."""
    if settings.checkpoint_url is not None:
        async with _async_postgres(settings.checkpoint_url) as saver:
            yield saver
        return
    import asyncio

    import aiosqlite

    path = await asyncio.to_thread(lambda: data_folder(settings) / "checkpoints.sqlite")
    await asyncio.to_thread(_check_file, str(path))
    async with aiosqlite.connect(path, timeout=30) as connection:
        await connection.execute("PRAGMA journal_mode=WAL")
        await connection.execute("PRAGMA synchronous=NORMAL")
        saver_ = AsyncPrunedSqliteSaver(connection, keep=settings.memory.keep_checkpoints)
        await saver_.setup()
        yield saver_


@contextmanager
def _postgres(url: str) -> Iterator[BaseCheckpointSaver[Any]]:
    psycopg, rows = _driver()
    from langgraph.checkpoint.postgres import PostgresSaver

    try:
        connection = psycopg.connect(
            url, autocommit=True, prepare_threshold=0, row_factory=rows, connect_timeout=5
        )
    except psycopg.Error as exc:
        raise _broken("in PostgreSQL", exc) from exc
    with connection:
        saver = PostgresSaver(connection, serde=serializer())
        saver.setup()
        yield saver


@asynccontextmanager
async def _async_postgres(url: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    psycopg, rows = _driver()
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    try:
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, prepare_threshold=0, row_factory=rows, connect_timeout=5
        )
    except psycopg.Error as exc:
        raise _broken("in PostgreSQL", exc) from exc
    async with connection:
        saver = AsyncPostgresSaver(connection, serde=serializer())
        await saver.setup()
        yield saver


def _driver() -> tuple[Any, Any]:
    try:
        import psycopg
        from psycopg.rows import dict_row
    except ModuleNotFoundError as exc:
        raise StoreError(
            "PostgreSQL needs its driver.", hint="pip install 'allotrope[postgres]'"
        ) from exc
    return psycopg, dict_row


def _broken(where: str, exc: Exception) -> StoreError:
    what = str(exc) if isinstance(exc, sqlite3.Error) else type(exc).__name__
    return StoreError(
        f"The threads {where} can't be opened: {what}.",
        hint="Check the address or set ALLOTROPE_DATA_DIR to a folder you can write.",
    )


def _check_file(path: str) -> None:
    connection = sqlite3.connect(path, timeout=30)
    try:
        _check_version(connection, path)
    finally:
        connection.close()


def _check_version(connection: sqlite3.Connection, path: str) -> None:
    """Refuses a file that a newer version wrote; marks a new one."""
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS allotrope_schema (version INTEGER NOT NULL)")
        row = connection.execute("SELECT max(version) FROM allotrope_schema").fetchone()
        if row[0] is None:
            connection.execute("INSERT INTO allotrope_schema VALUES (?)", (SCHEMA_VERSION,))
            connection.commit()
    except sqlite3.Error as exc:
        raise _broken(path, exc) from exc
    if row[0] is not None and int(row[0]) > SCHEMA_VERSION:
        raise StoreError(
            f"The threads in {path} were written by a newer Allotrope (version {row[0]}).",
            hint="Upgrade: pip install -U allotrope",
        )
