"""What tool schemas cost: OpenAI shows them to the model as TypeScript declarations."""

from collections.abc import Mapping, Sequence
from typing import Any

WRAPPER_TOKENS = 8
"""Around the declarations when there is no system message; 4 less when they share one.

Fitted to recorded `prompt_tokens` (tests/memory/recorded_usage.json); the rendering is the one
described by hmarr/openai-chat-tokens.
"""
SHARED_WITH_SYSTEM_TOKENS = 4


def declarations(tools: Sequence[Mapping[str, Any]]) -> str:
    """The tools as the TypeScript text that the model is shown.

    Args:
        tools: Tools in OpenAI's form, `{"type": "function", "function": {…}}`.
    """
    lines = ["namespace functions {", ""]
    for tool in tools:
        function = tool.get("function", tool)
        lines += _comment(function.get("description"))
        parameters = function.get("parameters") or {}
        if parameters.get("properties"):
            lines.append(f"type {function.get('name', '')} = (_: {{")
            lines += _properties(parameters, parameters.get("$defs", {}))
            lines.append("}) => any;")
        else:
            lines.append(f"type {function.get('name', '')} = () => any;")
        lines.append("")
    lines.append("} // namespace functions")
    return "\n".join(lines)


def _comment(text: str | None) -> list[str]:
    return [f"// {line}" for line in (text or "").strip().splitlines()]


def _properties(schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int = 0) -> list[str]:
    required = set(schema.get("required", ()))
    lines: list[str] = []
    for name, value in schema.get("properties", {}).items():
        lines += _comment(value.get("description"))
        mark = "" if name in required else "?"
        lines.append(f"{name}{mark}: {_type(value, defs, depth)},")
    return lines


def _type(schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int) -> str:
    if depth > 8:  # a schema that refers to itself
        return "any"
    if "$ref" in schema:
        target = defs.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return _type(target, defs, depth + 1)
    if "enum" in schema:
        return " | ".join(f'"{item}"' for item in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(_type(option, defs, depth + 1) for option in schema[key])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " | ".join(str(part) for part in kind)
    if kind == "array":
        return f"{_type(schema.get('items', {}), defs, depth + 1)}[]"
    if kind == "object" and schema.get("properties"):
        return "\n".join(["{", *_properties(schema, defs, depth + 1), "}"])
    return {"integer": "number"}.get(str(kind), str(kind))
