"""Reading what models write: code, JSON, lists; nonsense gives nothing, never an error."""

import json
import re
from typing import TYPE_CHECKING, Any

from allotrope.contracts import STAMP

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

_BLOCK = re.compile(r"```[ \t]*+([\w+-]*+)[^\n`]*+\n(.*?)(?:\n[ \t]*+```|\Z)", re.DOTALL)
_THINK = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_BULLET = re.compile(r"\s*+(?:[-*•]|\d{1,2}[.)])\s++(.+)", re.DOTALL)


def origin(reply: "AIMessage") -> dict[str, Any]:
    """Where a reply came from (docs/contracts.md), and `truncated` where it was cut off."""
    from allotrope.models.call.replies import is_truncated

    found = dict(reply.response_metadata.get(STAMP) or {})
    return {**found, "truncated": True} if is_truncated(reply) else found


def without_thoughts(text: str) -> str:
    """Text without the `<think>` part that local reasoning models write first."""
    return _THINK.sub("", text).strip()


def code_blocks(text: str) -> list[tuple[str, str]]:
    """The fenced code blocks of a text as language and code; an unclosed last one counts.

    Args:
        text: A model's reply.
    """
    plain = without_thoughts(text)
    return [(match[1].lower(), match[2].strip("\n")) for match in _BLOCK.finditer(plain)]


def sql_of(text: str) -> str:
    """The SQL of a reply: its first block, or all of it when it starts like a query.

    Returns:
        The statement without a closing semicolon; empty when there is none.
    """
    for language, code in code_blocks(text):
        if language in ("sql", "duckdb", "") and code.strip():
            return code.strip().rstrip("; \n")
    plain = without_thoughts(text).strip().strip("`").strip()
    starts = re.match(r"(?i)(?:sql\s+)?((?:select|with|from)\b.*)", plain, re.DOTALL)
    return starts[1].strip().rstrip("; \n") if starts else ""


def json_object(text: str) -> dict[str, Any] | None:
    """The first JSON object of a reply, in a block or in running text; None when there is none."""
    plain = without_thoughts(text)
    decoder = json.JSONDecoder()
    for match in list(re.finditer(r"\{", plain))[:50]:
        try:
            value, _ = decoder.raw_decode(plain, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def listed(text: str, *, most: int) -> list[str]:
    """The items of a list, one a line; without list marks, short lines count.

    Args:
        text: A model's reply.
        most: Items at most.
    """
    lines = [line for line in without_thoughts(text).split("\n") if any(map(str.isalpha, line))]
    items = [match[1].rstrip() for line in lines if (match := _BULLET.match(line))]
    if not items:
        items = [line.strip() for line in lines if len(line) < 300]
    return list(dict.fromkeys(items))[:most]


def table(columns: list[str], rows: list[list[Any]], *, most: int = 20) -> str:
    """A Markdown table.

    Args:
        columns: Names.
        rows: Cells.
        most: Rows shown.
    """

    def line(cells: list[Any]) -> str:
        shown = [" ".join(str("" if c is None else c).split()).replace("|", "\\|") for c in cells]
        return f"| {' | '.join(shown)} |"

    lines = [line(columns), line(["---"] * len(columns)), *map(line, rows[:most])]
    if len(rows) > most:
        lines.append(f"\n({len(rows)} rows; the first {most} are shown.)")
    return "\n".join(lines)
