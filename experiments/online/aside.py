"""Exposures that the ledger could not take: kept in a file, entered as soon as it can.

Writers and the reader wait for each other by a lock on the file, in all processes of a machine; a
file that was entered is moved away under the lock, so no line is ever written to it afterwards.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from allotrope.exceptions import StoreError
from allotrope.stores.locks import lock

FILE = "exposures.jsonl"


def keep(folder: Path, fact: Mapping[str, Any]) -> None:
    """Keeps one exposure.

    Args:
        folder: The experiment's.
        fact: `unit`, `variant`, `run`, `at`.

    Raises:
        StoreError: The file can't be written.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            with path.open("ab") as file:
                lock(file)
                if not _still_there(file, path):  # it was entered while we waited
                    continue
                file.write(json.dumps(dict(fact)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                return
    except OSError as exc:
        raise StoreError(f"{path} can't be written: {exc.strerror}.") from exc


def enter(folder: Path, record: Callable[[Mapping[str, Any]], Any]) -> int:
    """Hands what was kept to the ledger; what it refuses stays kept.

    Args:
        folder: The experiment's.
        record: Takes one exposure; the same one twice must do no harm.

    Returns:
        How many were entered.

    Raises:
        StoreError: The file can't be read or moved.
    """
    path = folder / FILE
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return 0
    except OSError as exc:
        raise StoreError(f"{path} can't be read: {exc.strerror}.") from exc
    with file:
        lock(file)
        if not _still_there(file, path):
            return 0
        count = 0
        for line in file.read().splitlines():
            try:
                fact = json.loads(line)
            except ValueError:  # half a line of a machine that went down
                continue
            record(fact)
            count += 1
        path.rename(path.with_suffix(".entered"))
        return count


def _still_there(file: IO[bytes], path: Path) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
