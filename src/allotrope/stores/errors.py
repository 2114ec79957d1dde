"""What a log line says of an error: its class and number, never its text."""

import errno


def error_name(exc: BaseException) -> str:
    """What a log line says of an error: its class and its number, without its text.

    The number is the errno, the SQLSTATE or SQLite's own; the nearest of the error and its causes
    counts.

    Args:
        exc: The error.
    """
    seen: BaseException | None = exc
    for _ in range(8):
        if seen is None:
            break
        for one in (seen, getattr(seen, "orig", None)):  # SQLAlchemy's wraps the driver's
            number = _number(one)
            if number is not None:
                inner = "" if one is exc else f" of {type(one).__name__}"
                return f"{type(exc).__name__} ({number}{inner})"
        seen = seen.__cause__ or seen.__context__
    return type(exc).__name__


def _number(exc: object) -> str | None:
    for name, told in (("sqlstate", "SQLSTATE {}"), ("sqlite_errorname", "{}")):
        found = getattr(exc, name, None)
        if isinstance(found, str):
            return told.format(found)
    number = getattr(exc, "errno", None) if isinstance(exc, OSError) else None
    return errno.errorcode.get(number, f"errno {number}") if isinstance(number, int) else None
