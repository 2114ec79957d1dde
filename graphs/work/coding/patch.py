"""What changed, as a unified diff that `git apply` and `patch -p1` take."""

import difflib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from allotrope.graphs.work.sources.reading.files import decode, encoding_of

_NO_END = "\\ No newline at end of file"


def diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What changed, as a unified diff over all files, without the last line's end.

    There is no `diff --git` line: such a patch is taken from the folder it is applied in, also
    where that is a folder within a repository.

    Args:
        before: Name to text.
        after: Name to text.
    """
    lines: list[str] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name, ""), after.get(name, "")
        if old == new:
            continue
        for line in difflib.unified_diff(
            _lines(old),
            _lines(new),
            f"a/{name}" if name in before else "/dev/null",
            f"b/{name}" if name in after else "/dev/null",
            lineterm="",
        ):
            lines += [line.removesuffix("\n")] if line.endswith("\n") else _unended(line)
    return "\n".join(lines)


def byte_diff(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> bytes:
    """`diff` of files in whatever encoding.

    Args:
        before: Name to content.
        after: Name to content.
    """
    sides = [
        {name.encode().decode("latin-1"): raw.decode("latin-1") for name, raw in side.items()}
        for side in (before, after)
    ]
    return diff(*sides).encode("latin-1")


def as_it_lies(path: Path, text: str) -> bytes:
    """A file's bytes; those of the text that was read of it, if it is another one by now.

    Args:
        path: The file.
        text: What was read of it.
    """
    try:
        raw = path.read_bytes()
        same = decode(raw, name=path.name) == text
    except (OSError, ValueError):
        same = False
    return raw if same else text.encode()


def rewritten(raw: bytes, text: str) -> bytes:
    """A new text in the encoding and with the line ends of the file that it takes the place of.

    Lines that stayed keep their bytes, so that a patch fits a file with ends of both kinds.

    Args:
        raw: The file as it was; empty for a new one.
        text: What it is to hold, with plain line ends.
    """
    encoding = encoding_of(raw) if raw else "utf-8"
    if encoding == "utf-16":  # no lines of bytes: git takes such files for binary
        return text.encode(encoding)
    mark = raw[:3] if raw.startswith(b"\xef\xbb\xbf") else b""
    old = raw.removeprefix(mark).splitlines(keepends=True)
    ends = Counter(
        line[len(line.rstrip(b"\r\n")) :] for line in old if line.endswith((b"\r", b"\n"))
    )
    end = ends.most_common(1)[0][0] if ends else b"\n"
    plain = [_plain(line) for line in old]
    new = [_encoded(line, encoding.removesuffix("-sig")) for line in _lines(text)]
    found = [mark]
    same = difflib.SequenceMatcher(None, plain, new, autojunk=False).get_opcodes()
    for kind, first, last, start, stop in same:
        if kind == "equal":
            found += old[first:last]
        else:
            found += [line[:-1] + end if line.endswith(b"\n") else line for line in new[start:stop]]
    return b"".join(found)


def _plain(line: bytes) -> bytes:
    whole = line.rstrip(b"\r\n")
    return whole if whole == line else whole + b"\n"


def _encoded(line: str, encoding: str) -> bytes:
    """In the file's encoding, or in UTF-8 a line with signs that it hasn't."""
    try:
        return line.encode(encoding)
    except UnicodeEncodeError:
        return line.encode()


def _lines(text: str) -> list[str]:
    """Lines with their ends; only a newline ends one, as git has it."""
    found = [f"{line}\n" for line in text.split("\n")]
    last = found.pop()[:-1]
    return [*found, last] if last else found


def _unended(line: str) -> list[str]:
    head = line.startswith(("--- ", "+++ ", "@@ "))
    return [line] if head else [line, _NO_END]
