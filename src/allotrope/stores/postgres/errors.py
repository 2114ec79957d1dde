"""What PostgreSQL and its driver say went wrong, in one sentence and without the password."""

import re
from typing import Any
from urllib.parse import unquote, urlsplit

_MALFORMED = (
    "the address is malformed",
    "Write postgresql://user:password@host:5432/database in {setting}; in the password write @ as"
    " %40, / as %2F, : as %3A and % as %25.",
)
_MALFORMED_WORDS = re.compile(
    r"invalid (?:port|URI|percent|connection option|integer)|missing .= after|extra key/value"
    r"|forbidden value|unexpected character",
    re.IGNORECASE,
)
_UNENCODED = re.compile(r"[/?#@\[\]]|%(?![0-9A-Fa-f]{2})")

_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "53300", "40001", "40P01", "25006"})
"""SQLSTATEs (postgresql.org/docs/current/errcodes-appendix.html) after which the same thing can
pass on a new connection: the server stops, starts, is full, or took us for a rival; or was a
replica. Class 08 too: the connection."""

_STARTING = re.compile(r"starting up|shutting down|recovery mode|not yet accepting", re.IGNORECASE)

_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed|no password supplied|28P01",
        "the password is wrong",
        "Set the password in {setting}; write @ as %40, / as %2F, : as %3A and % as %25.",
    ),
    (
        r"role .{1,130} does not exist|28000",
        "the server doesn't know or doesn't admit the user",
        "Correct the user in {setting}, or make it with `createuser`.",
    ),
    (
        r"no pg_hba\.conf entry",
        "the server doesn't admit this user from this host",
        "Add the host to the server's pg_hba.conf.",
    ),
    (
        r"database .{1,130} does not exist|3D000",
        "there is no database {database!r}",
        "Make it with `createdb {database}`, or correct {setting}.",
    ),
    (
        r"could not translate host name|failed to resolve host|name or service not known"
        r"|nodename nor servname|no address associated|temporary failure in name",
        "there is no host {host!r}",
        "Correct the host in {setting}.",
    ),
    (
        r"connection refused",
        "nothing listens there",
        "Start the server, or correct host and port in {setting}.",
    ),
    (r"timeout expired|timed out", "the host doesn't answer", "Check host and firewall."),
    (
        r"no route to host|network is unreachable",
        "there is no way to the host",
        "Check host and network.",
    ),
    (
        r"starting up|recovery mode|not yet accepting",
        "the server is starting",
        "Try again in a moment.",
    ),
    (r"shutting down|administrator command|57P01", "the server was stopped", "Start it again."),
    (
        r"too many clients|remaining connection slots|53300",
        "the server has no connection left",
        "Raise max_connections, or run fewer processes.",
    ),
    (r"53100|no space left", "the server's disk is full", "Make room on the server's disk."),
    (
        r"server closed the connection|connection is closed|connection to server was lost"
        r"|consuming input failed|SSL SYSCALL|connection reset|EOF detected",
        "the connection was cut",
        "Try again; look into the server's log.",
    ),
)
"""Wordings of libpq, psycopg and the server (which speaks other languages where it is told to),
and what to say instead. What matches none is told by its class and SQLSTATE alone: a message may
quote a part of the address."""


def sqlstate_of(exc: BaseException) -> str | None:
    """The SQLSTATE of an error of psycopg, or of SQLAlchemy around one."""
    for one in (exc, getattr(exc, "orig", None)):
        state = getattr(one, "sqlstate", None)
        if state:
            return str(state)
    return None


def is_lost(exc: BaseException) -> bool:
    """Whether the connection is what failed, so that the same thing can pass on a new one."""
    state = sqlstate_of(exc)
    if state is not None:
        return state in _LOST or state.startswith("08")
    text = str(exc)
    if _STARTING.search(text):
        return True
    # refused at the door: the same answer next time
    refused = "|".join(pattern for pattern, _, _ in _REASONS[:4])
    return not re.search(refused, text, re.IGNORECASE)


def is_starting(exc: BaseException) -> bool:
    """Whether a server is there that will answer soon."""
    return sqlstate_of(exc) == "57P03" or bool(_STARTING.search(str(exc)))


def server_of(url: str) -> str:
    """Host, port and database of an address, without user and password."""
    host, port, database = _parts(url)
    return f"{host}{f':{port}' if port else ''}/{database}"


def reason_of(exc: BaseException, url: str) -> str:
    """Why, in a few words, with no part of the address but host and database.

    Args:
        exc: An error of psycopg, or of SQLAlchemy around one.
        url: The address that was used.
    """
    return _found(exc, url)[0]


def advice_for(exc: BaseException, url: str, *, setting: str) -> str:
    """What to do about it.

    Args:
        exc: As for `reason_of`.
        url: The address that was used.
        setting: The variable it stands in.
    """
    return _found(exc, url)[1].format(setting=setting)


def _found(exc: BaseException, url: str) -> tuple[str, str]:
    state = sqlstate_of(exc)
    text = f"{state or ''} {exc}"
    host, _, database = _parts(url)
    advice = "Check {setting}."
    login = url.partition("://")[2].rpartition("@")[0]
    if _UNENCODED.search(login) or _MALFORMED_WORDS.search(text):
        return _MALFORMED
    for pattern, told, todo in _REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            reason = told.format(host=host, database=database)
            advice = todo.replace("{database}", database)
            break
    else:
        reason = type(getattr(exc, "orig", None) or exc).__name__
    return (f"{reason} (SQLSTATE {state})" if state else reason), advice


def _parts(url: str) -> tuple[str, str, str]:
    """Host, port and database; question marks where they can't be told from a password."""
    _, known, rest = url.partition("://")
    base, _, query = rest.partition("?")
    if not known or "@" in query:
        return "?", "", "?"
    try:
        parts: Any = urlsplit(f"//{base.rpartition('@')[2]}")
        return parts.hostname or "localhost", str(parts.port or ""), unquote(parts.path[1:])
    except ValueError:
        return "?", "", "?"
