"""A memory on a real SQLite file, with a clock that tests turn."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from allotrope.memory.archive.archive import Archive
from allotrope.memory.archive.sqlite import SqliteDatabase
from allotrope.memory.memory import ConversationMemory
from allotrope.memory.opening import open_memory
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.settings import load_settings

COUNTER = TokenCounter()


@pytest.fixture
def make_memory(tmp_path: Path) -> Iterator[Callable[..., ConversationMemory]]:
    """Makes memories over the same archive file; closes them all."""
    made: list[ConversationMemory] = []

    def make(**options: Any) -> ConversationMemory:
        collaborators = {key: options.pop(key) for key in ("summarise", "clock") if key in options}
        settings = load_settings(environ={}, env_file=None, data_dir=tmp_path, memory=options)
        collaborators.setdefault("clock", lambda: datetime(2026, 5, 8, 12, tzinfo=UTC))
        memory = open_memory(
            settings,
            archive=Archive(SqliteDatabase(tmp_path / "archive.sqlite")),
            counter=COUNTER,
            **collaborators,
        )
        made.append(memory)
        return memory

    yield make
    for memory in made:
        memory.close(timeout_s=1)
