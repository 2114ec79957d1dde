"""Context providers: who gives the pieces of text for a template's slot.

A provider is named after its slot. Own ones come in by the entry point group
`allotrope.context_providers`: a name and an object with `provide(request)`, or `aprovide(request)`
where it has to wait.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from allotrope.exceptions import InputError, PromptError

GROUP = "allotrope.context_providers"
"""Entry point group of own providers."""


@dataclass(frozen=True)
class ContextPiece:
    """A piece of context.

    Args:
        text: What it says.
        source: Where it is from, for its label.
    """

    text: str
    source: str | None = None


@dataclass(frozen=True)
class ContextRequest:
    """What a provider may look at.

    Args:
        now: The time, with a time zone.
        question: The user's turn.
        agent: The agent type.
        tenant: Whose data may be used.
        user: The user's id.
        thread_id: The conversation.
        time_zone: IANA name of the user's time zone; None where it isn't known.
        given: What the graph has ready: `user`, `summary`, `recalled`, `documents`, `tools` …
    """

    now: datetime
    question: str = ""
    agent: str | None = None
    tenant: str | None = None
    user: str | None = None
    thread_id: str | None = None
    time_zone: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


class ContextProvider(Protocol):
    """Gives the pieces for a slot; one that has to wait has `async aprovide` instead, or too."""

    def provide(self, request: ContextRequest) -> Sequence[ContextPiece]:
        """The pieces, most important first; none where there is nothing to say."""


class Today:
    """The date and weekday in the user's time zone.

    Only the day: with the minute in it, no prompt would ever be the same twice, and neither the
    provider's prompt cache nor ours could help. For the time there is a tool.
    """

    def provide(self, request: ContextRequest) -> Sequence[ContextPiece]:
        """One piece, such as `Sunday, 22 November 2026 (time zone Europe/Berlin)`."""
        zone = request.time_zone or "UTC"
        try:
            local = request.now.astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise InputError(
                f"{zone!r} is no time zone.", hint="Use a name like Europe/Berlin."
            ) from exc
        days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
        months = ("January", "February", "March", "April", "May", "June", "July", "August",
                  "September", "October", "November", "December")  # fmt: skip
        day = f"{days[local.weekday()]}, {local.day} {months[local.month - 1]} {local.year}"
        return [ContextPiece(f"{day} (time zone {zone})")]


class Tools:
    """The catalogue of tools: a line for each, from `given["tools"]`.

    For templates that describe tools in words; models that call tools get them from `bind_tools`.
    """

    def provide(self, request: ContextRequest) -> Sequence[ContextPiece]:
        """One piece per tool: its name and the first sentence of its description."""
        pieces = []
        for tool in request.given.get("tools") or ():
            about = " ".join(str(getattr(tool, "description", "") or "").split())
            first = about.split(". ", 1)[0].rstrip(".")
            pieces.append(ContextPiece(f"- {getattr(tool, 'name', tool)}: {first}", str(tool)))
        return pieces


class Given:
    """What the graph has ready under the slot's name: a text, a mapping, or a list of pieces.

    Args:
        name: The slot, and the key in `ContextRequest.given`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def provide(self, request: ContextRequest) -> Sequence[ContextPiece]:
        """The pieces."""
        value = request.given.get(self._name)
        if not value:
            return []
        if isinstance(value, Mapping):
            lines = [f"{key}: {item}" for key, item in value.items() if item not in (None, "")]
            return [ContextPiece("\n".join(lines))] if lines else []
        if isinstance(value, str):
            return [ContextPiece(value)]
        return [_piece(item) for item in value]


def _piece(item: Any) -> ContextPiece:
    """A piece from what documents and archives have: pieces, mappings with text and
    source, LangChain documents, pairs, texts."""
    if isinstance(item, ContextPiece):
        return item
    if isinstance(item, Mapping):
        text = next((item[key] for key in ("text", "content") if item.get(key)), "")
        return ContextPiece(str(text), str(item["source"]) if item.get("source") else None)
    if isinstance(item, tuple) and len(item) == 2:
        return ContextPiece(str(item[1]), str(item[0]))
    text = getattr(item, "page_content", None)
    if text is not None:
        return ContextPiece(str(text), (getattr(item, "metadata", None) or {}).get("source"))
    return ContextPiece(str(item))


def builtin_providers() -> dict[str, ContextProvider]:
    """The providers of the slots that our templates use."""
    given = ("user", "summary", "recalled", "documents", "tables", "results", "files", "sources",
             "passages", "notes")  # fmt: skip
    return {"today": Today(), "tools": Tools(), **{name: Given(name) for name in given}}


def load_provider(point: EntryPoint) -> ContextProvider:
    """The provider of an installed package.

    Args:
        point: Its entry point.

    Raises:
        PromptError: It can't be loaded, or has no `provide`.
    """
    try:
        thing = point.load()
        provider: ContextProvider = thing() if isinstance(thing, type) else thing
    except Exception as exc:
        raise PromptError(
            f"The context provider {point.name!r} ({point.value}) can't be loaded: {exc}."
        ) from exc
    if not hasattr(provider, "provide") and not hasattr(provider, "aprovide"):
        raise PromptError(
            f"The context provider {point.name!r} ({point.value}) has no method provide(request)."
        )
    return provider


def installed_points() -> dict[str, EntryPoint]:
    """The entry points of installed packages' providers, by slot; imports none of them."""
    return {point.name: point for point in entry_points(group=GROUP)}
