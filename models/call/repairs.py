"""What a model refuses of a request, learnt from its refusal and left out from then on.

A model that came after this package may lack a parameter, a value or an endpoint that its family
has. OpenAI's refusals name it (`param`, `code`, "Supported values are: …"), so that one thing is
changed and the request is sent once more. What makes the request what it is (messages, tools, the
answer's form) is never changed, and refused content is no refusal of this kind.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from allotrope.models.catalogue.facts import Repair

ENDPOINT = "endpoint"
"""The name of a repair that changes the API: its value is `chat` or `responses`."""

_PATHS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "reasoning_effort": (("reasoning_effort",), ("reasoning", "effort")),
    "verbosity": (("verbosity",), ("text", "verbosity")),
    "max_output_tokens": (("max_output_tokens",), ("max_completion_tokens",), ("max_tokens",)),
}
"""Where a parameter stands in the body of both APIs; others stand under their own name."""

_NAMES: Mapping[str, str] = {
    "reasoning.effort": "reasoning_effort",
    "reasoning": "reasoning_effort",
    "text.verbosity": "verbosity",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
}
_ESSENTIAL = frozenset(
    {"model", "messages", "input", "instructions", "tools", "tool_choice", "stream", "text",
     "text.format", "response_format", "n"}
)  # fmt: skip
_CACHE_MARK = "prompt_cache_breakpoint"
_UNSUPPORTED = frozenset(
    {"unsupported_parameter", "unknown_parameter", "unsupported_value", "invalid_value"}
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_NAMED = re.compile(
    r"(?:Unrecognized request argument supplied|Unknown parameter|Unsupported parameter|"
    r"Unsupported value|Invalid value for)\s*+(?::\s*+)?['\"`]?(?P<name>[\w.\[\]]+)['\"`]?"
)
_ALLOWED = re.compile(r"(?:Supported|Allowed|Valid) values are:?\s*(?P<list>[^.]*(?:\.\d[^.]*)*)")
_QUOTED = re.compile(r"['\"`]([^'\"`]+)['\"`]")
_REFUSED = re.compile(
    r"(?:does not support|Invalid value:)\s*['\"`](?P<value>[^'\"`]+)['\"`]"
    r"|Unsupported value:\s*['\"`](?P<named>[^'\"`]+)['\"`] is not supported"
)
_AT_MOST = re.compile(r"(?:at most|maximum (?:value )?(?:is|of)|<=)\s*(?P<limit>\d[\d,]*)")
_TO_RESPONSES = re.compile(
    r"use (?:the )?/?v1/responses|use the Responses API|only supported in (?:the )?/?v1/responses",
    re.IGNORECASE,
)
_TO_CHAT = re.compile(
    r"only supported in (?:the )?/?v1/chat/completions"
    r"|not supported (?:in|with) (?:the )?(?:/?v1/responses|Responses API)",
    re.IGNORECASE,
)


def repair_for(
    *, code: str | None, parameter: str | None, message: str, at: datetime | None = None
) -> Repair | None:
    """What to change of a request so that the model takes it; None where nothing can be.

    Args:
        code: The provider's error code.
        parameter: The parameter it names, as it names it.
        message: Its words.
        at: When; default: now.
    """
    at, said = at or datetime.now(UTC), message[:200]
    for words, endpoint in ((_TO_RESPONSES, "responses"), (_TO_CHAT, "chat")):
        if words.search(message):
            return Repair(parameter=ENDPOINT, value=endpoint, at=at, said=said)
    named = _NAMED.search(message)
    name = _name(parameter or (named["name"] if named else ""))
    if not name or name in _ESSENTIAL:
        return None
    limit = _AT_MOST.search(message)
    if name == "max_output_tokens" and limit is not None:
        most = int(limit["limit"].replace(",", ""))
        return Repair(parameter=name, value=most, at=at, said=said)
    if code not in _UNSUPPORTED and named is None:
        return None
    found = _REFUSED.search(message)
    refused = None if found is None else found["value"] or found["named"]
    allowed = _ALLOWED.search(message)
    choices = _QUOTED.findall(allowed["list"]) if allowed else []
    if refused is not None and choices:
        value = _nearest(name, refused, choices)
        return Repair(parameter=name, refused=refused, value=value, at=at, said=said)
    return Repair(parameter=name, at=at, said=said)


def apply_repairs(payload: dict[str, Any], repairs: Sequence[Repair]) -> dict[str, Any]:
    """The body of a request without what its model refuses; changed in place.

    Args:
        payload: As it would be sent.
        repairs: What was learnt of the model.
    """
    for repair in repairs:
        if repair.parameter == _CACHE_MARK:
            _without_marks(payload)
            continue
        for path in _PATHS.get(repair.parameter, (tuple(repair.parameter.split(".")),)):
            _changed(payload, path, repair)
    return payload


def _name(parameter: str) -> str:
    if _CACHE_MARK in parameter:
        return _CACHE_MARK
    parameter = parameter.removeprefix("body.")
    return _NAMES.get(parameter, parameter)


def _nearest(name: str, refused: str, choices: Sequence[str]) -> str | None:
    """The allowed value closest to the refused one; None where values have no order."""
    if name != "reasoning_effort" or refused not in _EFFORTS:
        return None
    known = [choice for choice in choices if choice in _EFFORTS]
    wanted = _EFFORTS.index(refused)
    return min(known, key=lambda choice: abs(_EFFORTS.index(choice) - wanted), default=None)


def _changed(payload: dict[str, Any], path: tuple[str, ...], repair: Repair) -> None:
    place: Any = payload
    for part in path[:-1]:
        place = place.get(part) if isinstance(place, dict) else None
    if not isinstance(place, dict) or path[-1] not in place:
        return
    found = place[path[-1]]
    if repair.refused is not None and str(found) != str(repair.refused):
        return
    if repair.parameter == "max_output_tokens" and isinstance(repair.value, int):
        place[path[-1]] = min(found, repair.value) if isinstance(found, int) else repair.value
    elif repair.value is None:
        del place[path[-1]]
        if not place and len(path) > 1:
            payload.pop(path[0], None)
    else:
        place[path[-1]] = repair.value


def _without_marks(payload: dict[str, Any]) -> None:
    for item in payload.get("messages") or payload.get("input") or ():
        content = item.get("content") if isinstance(item, dict) else None
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict):
                block.pop(_CACHE_MARK, None)
