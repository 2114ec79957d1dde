"""Lines of text as records: what is indented under a line, or follows a line with a time, is of it.

A log's record of several lines, a stack trace, an item of YAML, a function: each is one record. One
that is too long is taken apart, and each part stands under the lines that it is indented under.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

_STAMP = re.compile(
    r"[\[(]?(?:\d{4}[-/]\d\d[-/]\d\d[T ,]|\d\d:\d\d:\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d"
    r"|\d\d?/[A-Z][a-z]{2}/\d{4}:)"
)
"""A time at a line's start, as logs have it: ISO, clock, syslog, Apache."""
_STAMPED = 5
_DEEPEST = 3
"""Lines of the path to a part that are shown with it, the innermost."""
_HEAD = 100
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Record:
    """A part of a text.

    Args:
        text: Its lines.
        path: The lines that it is indented under, where they aren't in it.
    """

    text: str
    path: str = ""


def outlined(lines: Sequence[str], *, longest: int) -> list[Record]:
    """Lines as records, in order.

    Args:
        lines: Of the text; blank ones are left out.
        longest: Characters up to which a record isn't taken apart.
    """
    full = [line for line in lines if line.strip()]
    depth = _depths(full)
    parent = [-1] * len(full)
    open_at: list[int] = []
    for at in range(len(full)):
        while open_at and depth[open_at[-1]] >= depth[at]:
            open_at.pop()
        parent[at] = open_at[-1] if open_at else -1
        open_at.append(at)
    size = [len(line) + 1 for line in full]
    end = [at + 1 for at in range(len(full))]
    for at in range(len(full) - 1, -1, -1):
        if parent[at] >= 0:
            size[parent[at]] += size[at]
            end[parent[at]] = max(end[parent[at]], end[at])
    found: list[Record] = []
    at = 0
    while at < len(full):
        whole = size[at] <= longest
        stop = end[at] if whole else at + 1
        found.append(Record("\n".join(full[at:stop]), _path(at, parent, full)))
        at = stop
    return found


def _path(at: int, parent: Sequence[int], lines: Sequence[str]) -> str:
    above: list[str] = []
    at = parent[at]
    while at >= 0 and len(above) < _DEEPEST:
        above.append(lines[at].rstrip()[:_HEAD])
        at = parent[at]
    return "\n".join(reversed(above))


def _depths(lines: Sequence[str]) -> list[int]:
    """How far each line is indented; below lines with a time are all without one."""
    widths = [len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip()) for line in lines]
    stamped = [bool(_STAMP.match(line)) for line in lines]
    if sum(stamped) < _STAMPED:
        return widths
    return [0 if has else width + 1 for has, width in zip(stamped, widths, strict=True)]


def quoted_lines(lines: Sequence[str]) -> list[str]:
    """Lines joined where a quotation of CSV goes on over a line's end.

    Args:
        lines: Of a text that may be CSV.
    """
    if not any(line.count('"') % 2 for line in lines):
        return list(lines)
    found: list[str] = []
    unfinished = ""
    for line in lines:
        unfinished = f"{unfinished}\n{line}" if unfinished else line
        if unfinished.count('"') % 2 == 0:
            found.append(unfinished)
            unfinished = ""
    # quotations that don't end: it wasn't CSV
    return list(lines) if unfinished else found


def columns(line: str, mark: str) -> int:
    """How often a table's mark divides a row, quoted cells apart."""
    return _QUOTED.sub("", line).count(mark)


def cells(line: str, mark: str) -> list[str]:
    """The cells of a table's row.

    Args:
        line: The row.
        mark: What divides its cells; `|` is that of Markdown, with one at each end.
    """
    if mark == "|":
        return [cell.strip() for cell in line.strip().strip("|").split("|")]
    return [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])]
