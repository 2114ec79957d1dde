"""What changed, as a unified diff that `git apply` and `patch -p1` take."""

import difflib
from collections.abc import Mapping

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


def _lines(text: str) -> list[str]:
    """Lines with their ends; only a newline ends one, as git has it."""
    found = [f"{line}\n" for line in text.split("\n")]
    last = found.pop()[:-1]
    return [*found, last] if last else found


def _unended(line: str) -> list[str]:
    head = line.startswith(("--- ", "+++ ", "@@ "))
    return [line] if head else [line, _NO_END]
