"""Deterministic compression of tool outputs and other machine text, by levels, as needed.

Code blocks, quotes, numbers, names and links are never changed by the light level; the stronger
levels leave out whole lines, rows or elements and say how many. The archive keeps the whole.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from allotrope.memory.shorten import middle_out
from allotrope.memory.tokens import TokenCounter

_ENOUGH_TOKENS = 160
"""Old tool outputs up to this size stay as they are."""
_SAMPLE = 3
_LONG_STRING = 160
_FENCE = re.compile(r"(```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z))", re.DOTALL)
_TAG = re.compile(r"</?(?:div|span|p|br|li|ul|ol|td|tr|th|table|tbody|thead|b|i|em|strong)\b[^>]*>")
_STAMP = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?|\b[0-9a-f]{8,}\b|\b\d+\b"
)
_TROUBLE = re.compile(r"\b(?:error|fail(?:ed|ure)?|exception|traceback|fatal|warn(?:ing)?)\b", re.I)


class Level(IntEnum):
    """How much may go.

    `LIGHT` loses no information (blanks, markup, minified JSON, repeated lines counted); `FOLDED`
    samples long lists, logs and tables and says how many were left out; `HANDLE` keeps head and
    tail and the number under which recall opens the whole.
    """

    LIGHT = 1
    FOLDED = 2
    HANDLE = 3


class Compressor(Protocol):
    """Another way to compress (say by a model), in place of `compress`."""

    def __call__(self, text: str, *, level: Level) -> "Compressed":
        """The shorter text."""


@dataclass(frozen=True)
class Compressed:
    """A shorter text.

    Args:
        text: What is left.
        kind: What it was taken for: `json`, `log`, `table`, or `text`.
        reversible: Whether the original can be told from it, blanks and markup apart.
    """

    text: str
    kind: str
    reversible: bool


def compress(text: str, *, level: Level) -> Compressed:
    """Compresses a text by what it is.

    Args:
        text: Any text; a tool's output, usually.
        level: How much may go.
    """
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        try:
            value = json.loads(stripped)
        except ValueError:
            pass
        else:
            folded = value if level < Level.FOLDED else _sampled(value)
            minified = json.dumps(folded, ensure_ascii=False, separators=(",", ":"))
            return Compressed(minified, "json", folded == value)
    # what stands in a code block is kept to the letter
    parts = _FENCE.split(text)
    kind, reversible = "text", True
    for index in range(0, len(parts), 2):
        kind_here, parts[index], kept_all = _plain(parts[index], level)
        kind = kind_here if kind_here != "text" else kind
        reversible = reversible and kept_all
    return Compressed("".join(parts), kind, reversible)


def _plain(text: str, level: Level) -> tuple[str, str, bool]:
    text = _TAG.sub(" ", text) if text.count("<") > 3 else text
    lines = [re.sub(r"(?<=\S)[ \t]{2,}", "  ", line.rstrip()) for line in text.split("\n")]
    kind = _kind(lines)
    lines = _repeats_counted(lines)
    if level < Level.FOLDED:
        return kind, "\n".join(lines), True
    before = len(lines)
    if kind == "log":
        lines = _log_folded(lines)
    elif kind == "table" and len(lines) > 2 * _SAMPLE + 4:
        gone = len(lines) - 2 * _SAMPLE - 2
        lines = [*lines[: _SAMPLE + 2], f"[… {gone} rows left out …]", *lines[-_SAMPLE:]]
    return kind, "\n".join(lines), len(lines) == before


def _kind(lines: list[str]) -> str:
    full = [line for line in lines if line.strip()]
    if len(full) < 6:
        return "text"
    for mark in ("|", "\t", ","):
        counts = Counter(line.count(mark) for line in full)
        columns, times = counts.most_common(1)[0]
        if columns >= 2 and times >= 0.8 * len(full):
            return "table"
    stamped = sum(1 for line in full if re.match(r"\[?\d{4}-\d\d-\d\d|\[?\d\d:\d\d:\d\d", line))
    return "log" if stamped >= 0.5 * len(full) else "text"


def _repeats_counted(lines: list[str]) -> list[str]:
    """Runs of the same line, and of empty lines, become one with a count."""
    result: list[str] = []
    times = 1
    for index, line in enumerate(lines):
        if index + 1 < len(lines) and lines[index + 1] == line:
            times += 1
            continue
        result.append(line if times == 1 or not line.strip() else f"{line}  [×{times}]")
        times = 1
    return result


def _log_folded(lines: list[str]) -> list[str]:
    """Lines that differ only in times and numbers are shown once, with how often; errors stay."""
    shapes = Counter(_STAMP.sub("#", line) for line in lines)
    shown: Counter[str] = Counter()
    result: list[str] = []
    for line in lines:
        shape = _STAMP.sub("#", line)
        shown[shape] += 1
        if _TROUBLE.search(line) or shapes[shape] <= 2 or not line.strip():
            result.append(line)
        elif shown[shape] == 1:
            result.append(f"{line}  [and {shapes[shape] - 1} more like it]")
    return result


def _sampled(value: Any) -> Any:
    """Long lists keep a few elements and a count; long strings keep their start."""
    if isinstance(value, dict):
        return {key: _sampled(item) for key, item in value.items()}
    if isinstance(value, list):
        if len(value) > 2 * _SAMPLE:
            gone = len(value) - _SAMPLE - 1
            kept = [_sampled(item) for item in value[:_SAMPLE]]
            return [*kept, f"… {gone} more …", _sampled(value[-1])]
        return [_sampled(item) for item in value]
    if isinstance(value, str) and len(value) > _LONG_STRING:
        return f"{value[:_LONG_STRING]}… {len(value) - _LONG_STRING} characters more"
    return value


def compress_tool_output(
    text: str,
    *,
    handle: int | None,
    counter: TokenCounter,
    enough: int = _ENOUGH_TOKENS,
) -> str:
    """An old tool output in at most about `enough` tokens, by the lightest level that does it.

    Args:
        text: The output.
        handle: Its number in the archive, so that recall can open the whole.
        counter: Counts.
        enough: Tokens it may have.
    """
    if counter.text(text) <= enough:
        return text
    for level in (Level.LIGHT, Level.FOLDED):
        shorter = compress(text, level=level)
        if counter.text(shorter.text) <= enough:
            if shorter.reversible or handle is None:
                return shorter.text
            return f"{shorter.text}\n[whole output: #{handle}]"
    where = f"whole output: #{handle}, opened by recall_memory" if handle else "left out"
    note = f"\n[{counter.text(text)} tokens; {where}]"
    folded = compress(text, level=Level.FOLDED).text
    return (middle_out(folded, tokens=enough - counter.text(note), counter=counter) or "") + note
