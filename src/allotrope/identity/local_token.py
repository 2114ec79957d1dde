"""The token that a server on loopback makes for its own user, in a file that only they can read."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from allotrope.exceptions import InputError
from allotrope.stores.redis.server import runtime_folder


@dataclass(frozen=True)
class LocalToken:
    """A running server of this machine.

    Args:
        url: Where it is.
        token: What it asks for.
    """

    url: str
    token: str


def make_token() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


@contextlib.contextmanager
def kept(url: str, token: str) -> Iterator[Path]:
    """Keeps a server's token for its user while the server runs.

    Args:
        url: Where it is.
        token: What it asks for.

    Returns:
        A page that leads a browser there: the token stands in the page, which only its owner can
        read, and not among the browser's arguments, which all users of the machine can.
    """
    folder = runtime_folder()
    name = f"serve-{os.getpid()}-{secrets.token_hex(4)}"
    facts, page = folder / f"{name}.json", folder / f"{name}.html"
    try:
        _write(facts, json.dumps({"url": url, "token": token, "pid": os.getpid()}))
        _write(
            page,
            '<!doctype html><meta charset="utf-8"><title>Allotrope</title>'
            f'<meta name="referrer" content="no-referrer"><meta http-equiv="refresh"'
            f' content="0; url={url}?token={token}">',
        )
        yield page
    finally:
        for path in (facts, page):
            path.unlink(missing_ok=True)


def find_token(port: int | None = None) -> LocalToken:
    """The token of a server of ours that runs on this machine.

    Args:
        port: Of which; None: the one that was started last.

    Raises:
        InputError: None runs there, or it made no token.
    """
    found: list[tuple[float, LocalToken]] = []
    for path in runtime_folder().glob("serve-*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            facts = json.loads(path.read_text(encoding="utf-8"))
            os.kill(int(facts["pid"]), 0)  # OSError: it is gone
            one = LocalToken(str(facts["url"]), str(facts["token"]))
            if port is None or f":{port}/" in one.url:
                found.append((path.stat().st_mtime, one))
    if not found:
        where = "" if port is None else f" on port {port}"
        raise InputError(
            f"No server of yours runs here{where} with a token of its own making.",
            hint="Start `allotrope serve`; a token that you set yourself is yours to know.",
        )
    return max(found, key=lambda one: one[0])[1]


def _write(path: Path, text: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
