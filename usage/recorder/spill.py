"""The spill: rows that could not be written to the ledger, one JSON object a line, for later."""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from allotrope.stores.locks import lock
from allotrope.stores.private import private_opener
from allotrope.usage.recorder.rows import CallRow

logger = logging.getLogger(__name__)


class Spill:
    """A file that any process may append to and any process may pick up.

    Args:
        path: The file; it and its folder are made when first needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, rows: Iterable[CallRow]) -> None:
        """Adds rows; they are on disk when this returns.

        Raises:
            OSError: They can't be written here either.
        """
        lines = "".join(json.dumps(row.to_json()) + "\n" for row in rows)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            with open(self.path, "a+b", opener=private_opener) as file:
                lock(file)
                if not self._is_current(file):
                    continue  # picked up between opening and locking; take the new file
                file.write((b"" if _ends_with_a_line(file) else b"\n") + lines.encode())
                file.flush()
                os.fsync(file.fileno())
                return

    def pick_up(self, write: Callable[[Sequence[CallRow]], object]) -> int:
        """Hands all rows to `write` and removes the file once that worked.

        Args:
            write: Takes rows; what it raises leaves the file as it was. Rows may come twice.

        Returns:
            How many rows were handed over.
        """
        with self._opened() as (rows, broken, there):
            for start in range(0, len(rows), 500):
                write(rows[start : start + 500])
            if broken:
                self._keep_aside(broken)
            if there:
                self.path.unlink()
        return len(rows)

    @contextmanager
    def waiting(self) -> Iterator[Sequence[CallRow]]:
        """The rows that wait; as long as this is held, none of them gets into the ledger."""
        with self._opened() as (rows, _, _):
            yield rows

    @contextmanager
    def _opened(self) -> Iterator[tuple[list[CallRow], list[bytes], bool]]:
        """The rows, the lines that can't be read, and whether there is a file: it is locked."""
        rows, broken = list[CallRow](), list[bytes]()
        try:
            file = open(self.path, "rb")  # noqa: SIM115 - closed below
        except FileNotFoundError:
            yield rows, broken, False
            return
        with file:
            lock(file)
            there = self._is_current(file)
            for line in file if there else ():
                try:
                    rows.append(CallRow.from_json(json.loads(line)))
                except (ValueError, TypeError, ArithmeticError):
                    broken.append(line)
            yield rows, broken, there

    def _keep_aside(self, lines: Sequence[bytes]) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        with open(aside, "ab", opener=private_opener) as file:
            file.writelines(lines)
        logger.error(
            "%d lines of %s could not be read; they were moved to %s.", len(lines), self.path, aside
        )

    def __len__(self) -> int:
        """Lines that wait."""
        try:
            with self.path.open("rb") as file:
                return sum(1 for _ in file)
        except FileNotFoundError:
            return 0

    def _is_current(self, file: IO[bytes]) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self.path))
        except FileNotFoundError:
            return False


def _ends_with_a_line(file: IO[bytes]) -> bool:
    """Whether nothing was cut off at the end, as it is when a machine goes down while writing."""
    if not file.seek(0, os.SEEK_END):
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
