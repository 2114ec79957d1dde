"""The name of an error in a log line: class and number, nothing of its text."""

import errno
import sqlite3
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa

from allotrope.exceptions import StoreError
from allotrope.stores.errors import error_name


def test_the_numbers_of_the_operating_system_and_of_databases() -> None:
    assert error_name(OSError(errno.ENOSPC, "secret")) == "OSError (ENOSPC)"
    assert error_name(ConnectionRefusedError(errno.ECONNREFUSED, "x")) == (
        "ConnectionRefusedError (ECONNREFUSED)"
    )
    assert error_name(psycopg.errors.AdminShutdown("secret")) == "AdminShutdown (SQLSTATE 57P01)"
    assert error_name(ValueError("secret")) == "ValueError"


def test_the_number_of_a_cause_counts() -> None:
    cause = psycopg.errors.DiskFull("secret")
    wrapped = StoreError("The archive failed.")
    wrapped.__cause__ = cause
    assert error_name(wrapped) == "StoreError (SQLSTATE 53100 of DiskFull)"
    outer = sa.exc.OperationalError("SELECT secret", {}, cause)
    assert error_name(outer) == "OperationalError (SQLSTATE 53100 of DiskFull)"


@pytest.mark.skipif(not hasattr(sqlite3, "SQLITE_NOTADB"), reason="Python 3.10 has no numbers")
def test_sqlites_own_names(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.db").write_bytes(b"a letter" * 500)
    with (
        closing(sqlite3.connect(tmp_path / "a.db")) as link,
        pytest.raises(sqlite3.DatabaseError) as caught,
    ):
        link.execute("SELECT 1 FROM a")
    assert error_name(caught.value) == "DatabaseError (SQLITE_NOTADB)"
