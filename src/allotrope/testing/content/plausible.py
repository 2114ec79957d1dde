"""Answers for requests nobody scripted: an echo, a fitting tool call, JSON that obeys the schema.

No model stands behind it. It follows the request closely enough that clients, agents and
conformance suites get replies of the right shape.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from allotrope.testing.content.replies import Asked, Reply, ToolCall, ToolSpec

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTED_KEY = re.compile(r"['\"`](\w+)['\"`]")
_QUOTED = re.compile(r"(?:^|[\s(:])(?:'([^'\n]+)'|\"([^\"\n]+)\")")
_NAME_WORD = re.compile(r"[a-z]{4,}")
_COMMON = frozenset({"tool", "function", "call", "make", "with", "from"})


def plausible_reply(asked: Asked) -> Reply:
    """An answer that fits what was asked: tools, then schema, then JSON mode, then an echo."""
    last = asked.turns[-1] if asked.turns else None
    tool = None if last is not None and last.role == "tool" else choose_tool(asked)
    if tool is not None:
        arguments = value_for(tool.parameters, asked.text)
        return Reply(tool_calls=(ToolCall(tool.name, arguments or {}),))
    if asked.schema is not None:
        return Reply(json.dumps(value_for(asked.schema, asked.text), ensure_ascii=False))
    if asked.json_mode:
        keys = _QUOTED_KEY.findall(asked.text) or ["answer"]
        return Reply(json.dumps(dict.fromkeys(keys, "simulated"), ensure_ascii=False))
    if last is not None and last.role == "tool":
        return Reply(f"The tool said: {last.text}")
    return Reply(f"Echo: {asked.text}")


def choose_tool(asked: Asked) -> ToolSpec | None:
    """The tool to call: the one demanded, else one whose name's words begin words of the user's."""
    if not asked.tools or asked.tool_choice == "none":
        return None
    for tool in asked.tools:
        if tool.name == asked.tool_choice:
            return tool
    text = asked.text.lower()
    for tool in asked.tools:
        words = {tool.name.lower(), *_NAME_WORD.findall(tool.name.lower())} - _COMMON
        if any(re.search(rf"\b{re.escape(word)}", text) for word in words):
            return tool
    return asked.tools[0] if asked.tool_choice == "required" else None


def value_for(schema: Mapping[str, Any], hint: str = "") -> Any:
    """A value that obeys a JSON schema.

    Args:
        schema: The schema; `$ref` to `$defs`, `anyOf`, `enum`, `const` and bounds are understood.
        hint: A text whose numbers and quoted words fill the fields, in order.
    """
    quoted = (single or double for single, double in _QUOTED.findall(hint))
    return _value(schema, schema, "simulated", _Hints(iter(_NUMBER.findall(hint)), quoted), 0)


class _Hints:
    """What the user's text offers for the fields."""

    def __init__(self, numbers: Iterator[str], quoted: Iterator[str]) -> None:
        self.numbers = numbers
        self.quoted = quoted


def _value(schema: Any, root: Mapping[str, Any], name: str, hints: _Hints, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > 12:
        return None
    if "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        return _value(target, root, name, hints, depth + 1)
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return _value(schema[union][0], root, name, hints, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        return {
            key: _value(sub, root, key, hints, depth + 1)
            for key, sub in (schema.get("properties") or {}).items()
        }
    if kind == "array":
        items = schema.get("items", {"type": "string"})
        count = max(1, int(schema.get("minItems", 1)))
        return [_value(items, root, name, hints, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        return _number(schema, kind, hints.numbers)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    return next(hints.quoted, name).ljust(int(schema.get("minLength", 0)), ".")


def _number(schema: Mapping[str, Any], kind: str, numbers: Iterator[str]) -> float | int:
    found = float(next(numbers, schema.get("minimum", 1)))
    found = max(found, float(schema.get("minimum", found)))
    found = min(found, float(schema.get("maximum", found)))
    return int(found) if kind == "integer" else found
