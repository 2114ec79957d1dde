"""Templates to and from the manifests of the LangSmith hub (LangChain's serialised prompts).

A manifest is what `langchain_core.load.dumpd(ChatPromptTemplate)` gives, and what the hub stores.
Import reads the JSON itself and never builds objects from it, so that a manifest can't run code.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.utils.formatting import formatter

from allotrope.exceptions import PromptError
from allotrope.prompts.schema import END
from allotrope.prompts.stores.parsing import parse
from allotrope.prompts.template import PromptTemplateVersion

_ROLES = {
    "SystemMessagePromptTemplate": "system",
    "HumanMessagePromptTemplate": "human",
    "AIMessagePromptTemplate": "ai",
    "SystemMessage": "system",
    "HumanMessage": "human",
    "AIMessage": "ai",
}
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


def to_manifest(version: PromptTemplateVersion) -> dict[str, Any]:
    """The manifest of a version, with our front matter under `metadata`.

    Args:
        version: What to export.
    """
    from langchain_core.load import dumpd
    from langchain_core.prompts import ChatPromptTemplate

    prompt = version.chat_prompt
    plain = ChatPromptTemplate(
        messages=prompt.messages,
        partial_variables=prompt.partial_variables,
        metadata={
            "allotrope": {
                "ref": version.ref,
                "hash": version.hash,
                "front_matter": version.meta.model_dump(mode="json", exclude_unset=True),
            }
        },
    )
    manifest: dict[str, Any] = dumpd(plain)
    return manifest


def from_manifest(manifest: Any, *, name: str, version: int, origin: str) -> str:
    """The text of a template file made from a manifest.

    Mustache and f-string templates are taken; jinja2, which runs code, is refused.

    Args:
        manifest: The parsed JSON, or a hub commit that holds it under `manifest`.
        name: The template's new name.
        version: Its version.
        origin: The file's name for error messages.

    Raises:
        PromptError: It is no manifest of a chat prompt, or holds what a template can't.
    """
    if isinstance(manifest, Mapping) and "manifest" in manifest:
        manifest = manifest["manifest"]
    kwargs = _object(manifest, ("ChatPromptTemplate", "StructuredPrompt"), origin)
    ours = ((kwargs.get("metadata") or {}).get("allotrope") or {}).get("front_matter")
    partials = kwargs.get("partial_variables") or {}
    variables: dict[str, dict[str, Any]] = {}
    body: list[str] = []
    for message in kwargs.get("messages") or []:
        body += _message(message, variables, partials, origin)
    if not body:
        raise PromptError(f"{origin}: the manifest has no messages.")
    front: dict[str, Any] = {
        "description": f"Imported from {origin}.",
        "variables": variables,
        "changelog": f"Imported from {origin}.",
    }
    if isinstance(ours, Mapping):
        front |= {k: v for k, v in ours.items() if k not in ("name", "version")}
    if kwargs.get("schema_"):
        front["output"] = kwargs["schema_"]
    import yaml

    head = yaml.safe_dump(
        {"name": name, "version": version, **front}, sort_keys=False, allow_unicode=True, width=200
    )
    text = "---\n" + head + "---\n" + "\n".join(body) + f"\n{END}\n"
    parse(text, origin=origin)
    return text


def load_manifest(text: str, *, origin: str) -> Any:
    """Parses a manifest's JSON.

    Raises:
        PromptError: It is no JSON.
    """
    try:
        return json.loads(text)
    except ValueError as exc:
        raise PromptError(f"{origin} is no JSON: {exc}.") from exc


def _object(data: Any, kinds: tuple[str, ...], origin: str) -> Mapping[str, Any]:
    kind = data.get("id", [""])[-1] if isinstance(data, Mapping) and data.get("id") else None
    if kind not in kinds or not isinstance(data.get("kwargs"), Mapping):
        raise PromptError(
            f"{origin} is no manifest of a chat prompt (it is {kind or 'something else'}).",
            hint="Export one with langchain_core.load.dumpd, or from the hub.",
        )
    kwargs: Mapping[str, Any] = data["kwargs"]
    return kwargs


def _message(
    data: Any, variables: dict[str, dict[str, Any]], partials: Mapping[str, Any], origin: str
) -> list[str]:
    kind = data.get("id", [""])[-1] if isinstance(data, Mapping) else ""
    kwargs = data.get("kwargs", {}) if isinstance(data, Mapping) else {}
    if kind == "MessagesPlaceholder":
        name = str(kwargs.get("variable_name", ""))
        _declare(name, variables, partials, origin, kind="messages")
        if kwargs.get("optional"):
            variables[name].setdefault("default", [])
        return [f"=== placeholder {name}"]
    role = _ROLES.get(kind)
    if role is None:
        raise PromptError(f"{origin}: a message of kind {kind or '?'} can't be taken over.")
    if kind.endswith("Message"):
        return [f"=== {role}", _escaped(_mustache_literal(str(kwargs.get("content", "")), origin))]
    prompt = kwargs.get("prompt")
    inner = prompt.get("kwargs") if isinstance(prompt, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("template"), str):
        raise PromptError(f"{origin}: only text messages can be taken over, not images or files.")
    style = inner.get("template_format", "f-string")
    if style == "jinja2":
        raise PromptError(f"{origin}: jinja2 templates run code and are not taken over.")
    text = inner["template"]
    text = _from_fstring(text, variables, partials, origin) if style == "f-string" else text
    if style == "mustache":
        from allotrope.prompts import mustache

        for use in mustache.uses(text):
            if not use.inside and use.root != ".":
                _declare(use.root, variables, partials, origin)
    return [f"=== {role}", _escaped(text)]


def _declare(
    name: str,
    variables: dict[str, dict[str, Any]],
    partials: Mapping[str, Any],
    origin: str,
    *,
    kind: str = "string",
) -> None:
    if not _NAME.match(name):
        raise PromptError(f"{origin}: {name!r} is no name for a variable (a-z, 0-9, _).")
    if name in variables:
        return
    variables[name] = {"type": kind}
    if isinstance(partials.get(name), str | int | float | list):
        variables[name]["default"] = partials[name]


def _from_fstring(
    text: str, variables: dict[str, dict[str, Any]], partials: Mapping[str, Any], origin: str
) -> str:
    pieces = []
    for literal, field, spec, conversion in formatter.parse(text):
        pieces.append(_mustache_literal(literal, origin))
        if field is None:
            continue
        if spec or conversion:
            raise PromptError(f"{origin}: {field!r} has a format, which Mustache has not.")
        _declare(field, variables, partials, origin)
        pieces.append("{{" + field + "}}")
    return "".join(pieces)


def _mustache_literal(text: str, origin: str) -> str:
    if "{{" in text:
        raise PromptError(f"{origin}: a text holds '{{{{', which would read as a Mustache tag.")
    return text


def _escaped(text: str) -> str:
    return "\n".join("\\" + line if line.startswith("===") else line for line in text.split("\n"))
