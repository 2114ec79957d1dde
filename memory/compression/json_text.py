"""JSON made shorter as text: every number, name, string and doubled key stays byte for byte.

Loading and dumping would write `1.10` as `1.1`, round long numbers and keep one of two equal keys.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
_SAMPLE = 3
_LONG_STRING = 160
_SHORT_VALUES = 12
_LONG_NAME = 60
_LINK = re.compile(r"\w+://\S*$")

Node: TypeAlias = "str | Group"


@dataclass(frozen=True)
class Group:
    """An array or an object; scalars and `"key":` stand in it as they were written.

    Args:
        opening: `[` or `{`.
        keys: Raw keys of an object, in order, doubled ones too; empty for an array.
        values: Its values.
    """

    opening: str
    keys: tuple[str, ...]
    values: tuple[Node, ...]


def is_json(text: str) -> bool:
    """Whether a text is one JSON array or object."""
    if text[:1] not in ("{", "["):
        return False
    try:
        # numbers aren't made: one of a million digits would take minutes
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def minified(text: str) -> str:
    """The same JSON without blanks between its tokens.

    Args:
        text: Valid JSON (see `is_json`).
    """
    return "".join(_TOKEN.findall(text))


def sampled(text: str) -> str:
    """Minified, long lists cut to a few elements and a count, long strings to their start.

    Args:
        text: Valid JSON (see `is_json`).
    """
    return _written(_folded(_node(iter(_TOKEN.findall(text)))))


def records(text: str, *, longest: int) -> list[str]:
    """A JSON text as records: its smallest parts that say by themselves what they are about.

    A record stands under the path to it and the first plain values of what it is in:
    `hosts[3] "host":"web-3" disks {"dev":"sda","free":12}`.

    Args:
        text: Valid JSON (see `is_json`).
        longest: Characters up to which an element isn't taken apart.
    """
    found: list[str] = []
    _gather(_node(iter(_TOKEN.findall(text))), "", longest, found)
    return found


def _gather(node: Node, about: str, longest: int, found: list[str]) -> None:
    whole = _written(node)
    if isinstance(node, str) or len(whole) <= longest:
        found.append(f"{about} {whole}".strip())
        return
    if node.opening == "[":
        # an array of short values is one record, cut where it is too long
        short = [_written(value) for value in node.values if isinstance(value, str)]
        for start in range(0, len(short), _SHORT_VALUES):
            found.append(f"{about} {','.join(short[start : start + _SHORT_VALUES])}".strip())
        for index, value in enumerate(node.values):
            if not isinstance(value, str):
                _gather(value, f"{about}[{index}]", longest, found)
        return
    pairs = list(zip(node.keys, node.values, strict=True))
    plain = [f"{key}:{value}" for key, value in pairs if isinstance(value, str)]
    if plain:
        found.append(f"{about} {{{','.join(plain)}}}".strip())
    named = " ".join([about, *(one for one in plain if len(one) <= _LONG_NAME)][:3]).strip()
    for key, value in pairs:
        if not isinstance(value, str):
            _gather(value, f"{named} {json.loads(key)}".strip(), longest, found)


def _node(tokens: Iterator[str], first: str | None = None) -> Node:
    opening = first or next(tokens)
    if opening not in ("[", "{"):
        return opening
    keys: list[str] = []
    values: list[Node] = []
    for inner in tokens:
        if inner in ("]", "}"):
            break
        if inner == ",":
            continue
        if opening == "{":
            keys.append(inner)
            next(tokens)  # the colon
            inner = next(tokens)
        values.append(_node(tokens, inner))
    return Group(opening, tuple(keys), tuple(values))


def _folded(node: Node) -> Node:
    if isinstance(node, str):
        return _short(node)
    values = tuple(_folded(value) for value in node.values)
    if node.opening == "[" and len(values) > 2 * _SAMPLE:
        note = f'"… {len(values) - _SAMPLE - 1} more …"'
        values = (*values[:_SAMPLE], note, values[-1])
    return Group(node.opening, node.keys, values)


def _short(raw: str) -> str:
    """A long string up to a blank, so that no number, name or link is cut in two."""
    if len(raw) <= _LONG_STRING or not raw.startswith('"'):
        return raw
    text = json.loads(raw)
    if len(text) <= _LONG_STRING or _LINK.match(text):
        return raw
    start = text[: _LONG_STRING + 1]
    start = start[: start.rfind(" ")] if " " in start else start[:_LONG_STRING]
    return json.dumps(f"{start}… {len(text) - len(start)} characters more", ensure_ascii=False)


def _written(node: Node) -> str:
    if isinstance(node, str):
        return node
    inside = [_written(value) for value in node.values]
    if node.opening == "[":
        return f"[{','.join(inside)}]"
    pairs = zip(node.keys, inside, strict=True)
    return "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
