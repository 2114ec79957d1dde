"""Reading local files that a user names, in allowed folders, with limits on size and type."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from allotrope.exceptions import InputError

_ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")


def allowed_file(name: str | Path, *, roots: Sequence[Path], max_bytes: int) -> Path:
    """Checks that a file exists, lies in an allowed folder, is a regular one, and isn't too large.

    Args:
        name: What the user wrote; `~` and relative paths are understood.
        roots: Folders that may be read; links are followed before the check.
        max_bytes: Largest size in bytes.

    Returns:
        The real path.

    Raises:
        InputError: One of these doesn't hold; hidden files and folders are refused as well.
    """
    path = inside(name, roots=roots)
    try:
        facts = path.stat()
    except OSError as exc:
        raise InputError(f"{name!s} can't be read: {exc.strerror}.") from exc
    if stat.S_ISDIR(facts.st_mode):
        raise InputError(f"{name!s} is a folder, not a file.")
    if not stat.S_ISREG(facts.st_mode):
        raise InputError(f"{name!s} is no regular file; devices, pipes and sockets aren't read.")
    if facts.st_size > max_bytes:
        raise InputError(
            f"{name!s} has {facts.st_size / 1e6:.1f} MB; {max_bytes / 1e6:g} MB is the limit.",
            hint="Give a smaller file or raise ALLOTROPE_AGENTS__MAX_FILE_MB.",
        )
    if facts.st_size == 0:
        raise InputError(f"{name!s} is empty.")
    return path


def inside(name: str | Path, *, roots: Sequence[Path]) -> Path:
    """The real path of a file or folder, if it lies in one of the allowed folders.

    Raises:
        InputError: It doesn't exist, lies outside, or is hidden (its name starts with a dot).
    """
    text = str(name)
    if not text.strip() or "\x00" in text:
        raise InputError("The name of the file is empty or malformed.")
    try:
        path = Path(os.path.realpath(Path(text).expanduser(), strict=True))
    except (OSError, RuntimeError) as exc:
        raise InputError(f"There is no file {text[:200]!r}.", hint="Check the path.") from exc
    for root in roots:
        base = Path(os.path.realpath(root.expanduser()))
        if path.is_relative_to(base):
            if any(part.startswith(".") for part in path.relative_to(base).parts):
                raise InputError(f"{text[:200]!r} is hidden; hidden files aren't read.")
            return path
    raise InputError(
        f"{text[:200]!r} lies outside the folders that may be read.",
        hint="Add its folder to ALLOTROPE_AGENTS__FILE_ROOTS.",
    )


def encoding_of(raw: bytes, *, declared: str | None = None) -> str:
    """The encoding that bytes of a text are read in.

    Args:
        raw: The bytes.
        declared: An encoding that the source states.
    """
    for encoding in (declared, *_ENCODINGS):
        if encoding is None or (encoding == "utf-16" and raw[:2] not in (b"\xff\xfe", b"\xfe\xff")):
            continue
        try:
            raw.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        return encoding
    return "latin-1"


def decode(raw: bytes, *, name: str, declared: str | None = None) -> str:
    """Bytes to text, whatever usual encoding they are in.

    Args:
        raw: The bytes.
        name: For the error message.
        declared: An encoding that the source states.

    Returns:
        The text, with unix line ends.

    Raises:
        InputError: It is binary.
    """
    if b"\x00" in raw[:8192] and raw[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{name} is binary, not text.")
    text = raw.decode(encoding_of(raw, declared=declared))
    return text.replace("\r\n", "\n").replace("\r", "\n")
