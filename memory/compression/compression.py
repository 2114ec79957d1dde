"""Deterministic compression of tool outputs and other machine text, by levels, as needed.

Code blocks, quotes, numbers, names and links are never changed by the light level; the stronger
levels leave out whole lines, rows or elements and say how many. The archive keeps the whole.
"""

import re
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum

from allotrope.memory.compression.json_text import is_json, minified, sampled
from allotrope.memory.compression.shorten import middle_out
from allotrope.memory.tokens.counting import TokenCounter

_ENOUGH_TOKENS = 160
"""Old tool outputs up to this size stay as they are."""
_SAMPLE = 3
_FENCE = re.compile(r"(```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z))", re.DOTALL)
_TAG = re.compile(
    r"</?(?:div|span|p|br|li|ul|ol|td|tr|th|table|tbody|thead|b|i|em|strong)"
    r"(?:\s+(?:class|style|align|valign|dir|lang|role)\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'))*\s*/?>"
)
"""Tags that only shape; one with another attribute (a link, a number of columns) stays."""
_CLOSING = re.compile(r"</(?:div|span|p|li|ul|ol|td|tr|th|table|tbody|thead|b|i|em|strong)>")
_BLANKS = re.compile(
    r"(\"[^\"\n]*\"|`[^`\n]*`|“[^“”\n]*+”|«[^«»\n]*+»|(?<!\w)'[^'\n]*'(?!\w))|(?<=\S)[ \t]{3,}"
)
"""What is quoted, to be kept, or a run of blanks within a line."""
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
    if is_json(stripped):
        light = minified(stripped)
        if level < Level.FOLDED:
            return Compressed(light, "json", True)
        try:
            folded = sampled(stripped)
        except RecursionError:  # nested as deep as Python reads, and no deeper
            folded = light
        return Compressed(folded, "json", folded == light)
    # what stands in a code block is kept to the letter
    parts = _FENCE.split(text)
    kind, reversible = "text", True
    for index in range(0, len(parts), 2):
        kind_here, parts[index], kept_all = _plain(parts[index], level)
        kind = kind_here if kind_here != "text" else kind
        reversible = reversible and kept_all
    return Compressed("".join(parts), kind, reversible)


def _plain(text: str, level: Level) -> tuple[str, str, bool]:
    markup = text.lstrip().startswith("<") and len(_CLOSING.findall(text)) > 1
    text = _TAG.sub(" ", text) if markup else text
    lines = [
        _BLANKS.sub(lambda found: found[1] or "  ", line.rstrip()) for line in text.split("\n")
    ]
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
        if not line.strip():
            result.append(line)
        elif times * (len(line) + 1) > len(line) + 8:
            result.append(f"{line}  [×{times}]" if times > 1 else line)
        else:  # a count would be longer than what it replaces
            result += [line] * times
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
