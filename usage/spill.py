"""The spill: rows that could not be written to the ledger, one JSON object a line, for later."""

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

from allotrope.stores.locks import lock
from allotrope.usage.rows import CallRow

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
            with open(self.path, "ab", opener=lambda p, f: os.open(p, f, 0o600)) as file:
                lock(file)
                if not self._is_current(file):
                    continue  # picked up between opening and locking; take the new file
                file.write(lines.encode())
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
        try:
            file = open(self.path, "rb")  # noqa: SIM115 - closed below, after the unlink
        except FileNotFoundError:
            return 0
        with file:
            lock(file)
            if not self._is_current(file):
                return 0
            rows, broken = [], 0
            for line in file:
                try:
                    rows.append(CallRow.from_json(json.loads(line)))
                except (ValueError, TypeError, ArithmeticError):
                    broken += 1
            for start in range(0, len(rows), 500):
                write(rows[start : start + 500])
            if broken:
                logger.warning("%d lines of %s could not be read.", broken, self.path)
            self.path.unlink()
        return len(rows)

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
