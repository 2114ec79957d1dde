"""Context injection: providers fill the slots that a template declares, within a token share.

A provider gives pieces of text for one slot. The pieces are fenced as data (unless the slot is
`trusted`), packed whole in the order given until the slot's share is used up, and what did not fit
is told, never silently lost. Own providers come in by the entry point group
`allotrope.context_providers`: a name and an object with `provide(request)`, or `aprovide(request)`
where it has to wait.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from allotrope.exceptions import InputError, PromptError
from allotrope.prompts.fencing import Fenced, fence
from allotrope.prompts.schema import Slot
from allotrope.prompts.template import PromptTemplateVersion

GROUP = "allotrope.context_providers"
"""Entry point group of own providers."""


@dataclass(frozen=True)
class Piece:
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
        time_zone: IANA name of the user's time zone.
        given: What the graph has ready: `user`, `summary`, `recalled`, `documents`, `tools` …
    """

    now: datetime
    question: str = ""
    agent: str | None = None
    tenant: str | None = None
    user: str | None = None
    thread_id: str | None = None
    time_zone: str = "UTC"
    given: Mapping[str, Any] = field(default_factory=dict)


class ContextProvider(Protocol):
    """Gives the pieces for a slot."""

    def provide(self, request: ContextRequest) -> Sequence[Piece]:
        """The pieces, most important first; none where there is nothing to say."""


@dataclass(frozen=True)
class SlotUse:
    """What became of a slot.

    Args:
        slot: Its name.
        tokens: Tokens used.
        limit: Tokens allowed.
        pieces: Pieces that are in.
        cut: Whether the first piece had to be shortened.
        dropped: Sources of the pieces that did not fit.
        problem: Why a provider gave nothing, where it failed.
    """

    slot: str
    tokens: int
    limit: int
    pieces: int
    cut: bool = False
    dropped: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Injection:
    """The values for a template's slots, and what became of each slot."""

    values: Mapping[str, str]
    uses: tuple[SlotUse, ...]


class Today:
    """The date and weekday in the user's time zone.

    Only the day: with the minute in it, no prompt would ever be the same twice, and neither the
    provider's prompt cache nor ours could help. For the time there is a tool.
    """

    def provide(self, request: ContextRequest) -> Sequence[Piece]:
        """One piece, such as `Sunday, 22 November 2026 (time zone Europe/Berlin)`."""
        try:
            local = request.now.astimezone(ZoneInfo(request.time_zone))
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise InputError(
                f"{request.time_zone!r} is no time zone.", hint="Use a name like Europe/Berlin."
            ) from exc
        days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
        months = ("January", "February", "March", "April", "May", "June", "July", "August",
                  "September", "October", "November", "December")  # fmt: skip
        day = f"{days[local.weekday()]}, {local.day} {months[local.month - 1]} {local.year}"
        return [Piece(f"{day} (time zone {request.time_zone})")]


class Tools:
    """The catalogue of tools: a line for each, from `given["tools"]`.

    For templates that describe tools in words; models that call tools get them from `bind_tools`.
    """

    def provide(self, request: ContextRequest) -> Sequence[Piece]:
        """One piece per tool: its name and the first sentence of its description."""
        pieces = []
        for tool in request.given.get("tools") or ():
            about = " ".join(str(getattr(tool, "description", "") or "").split())
            first = about.split(". ", 1)[0].rstrip(".")
            pieces.append(Piece(f"- {getattr(tool, 'name', tool)}: {first}", str(tool)))
        return pieces


class Given:
    """What the graph has ready under the slot's name: a text, a mapping, or a list of pieces.

    Args:
        name: The slot, and the key in `ContextRequest.given`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def provide(self, request: ContextRequest) -> Sequence[Piece]:
        """The pieces."""
        value = request.given.get(self._name)
        if not value:
            return []
        if isinstance(value, Mapping):
            lines = [f"{key}: {item}" for key, item in value.items() if item not in (None, "")]
            return [Piece("\n".join(lines))] if lines else []
        if isinstance(value, str):
            return [Piece(value)]
        return [_piece(item) for item in value]


def _piece(item: Any) -> Piece:
    """A piece from what documents and archives have: pieces, LangChain documents, pairs, texts."""
    if isinstance(item, Piece):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        return Piece(str(item[1]), str(item[0]))
    text = getattr(item, "page_content", None)
    if text is not None:
        return Piece(str(text), (getattr(item, "metadata", None) or {}).get("source"))
    return Piece(str(item))


def builtin_providers() -> dict[str, ContextProvider]:
    """The providers of the slots that our templates use."""
    given = ("user", "summary", "recalled", "documents", "tables", "results", "files", "sources",
             "passages", "notes")  # fmt: skip
    return {"today": Today(), "tools": Tools(), **{name: Given(name) for name in given}}


def installed_providers() -> dict[str, ContextProvider]:
    """The providers that installed packages bring by entry point.

    Raises:
        PromptError: One can't be loaded, or has no `provide`.
    """
    found: dict[str, ContextProvider] = {}
    for point in entry_points(group=GROUP):
        try:
            thing = point.load()
            provider = thing() if isinstance(thing, type) else thing
        except Exception as exc:
            raise PromptError(
                f"The context provider {point.name!r} ({point.value}) can't be loaded: {exc}."
            ) from exc
        if not hasattr(provider, "provide") and not hasattr(provider, "aprovide"):
            raise PromptError(
                f"The context provider {point.name!r} ({point.value}) has no method "
                "provide(request)."
            )
        found[point.name] = provider
    return found


class ContextInjector:
    """Fills slots.

    Args:
        count: Counts the tokens of a text, by the model that will answer.
        providers: By slot; default: ours and the installed ones, which win.
    """

    def __init__(
        self,
        *,
        count: Callable[[str], int],
        providers: Mapping[str, ContextProvider] | None = None,
    ) -> None:
        self._count = count
        self._providers = providers

    @property
    def providers(self) -> Mapping[str, ContextProvider]:
        """By slot; entry points are looked up at the first use."""
        if self._providers is None:
            self._providers = builtin_providers() | installed_providers()
        return self._providers

    def fill(
        self, version: PromptTemplateVersion, request: ContextRequest, *, budget_tokens: int
    ) -> Injection:
        """Values for all slots of a template.

        Args:
            version: The template.
            request: What providers may look at.
            budget_tokens: Tokens for context, from memory; each slot gets its share of them.

        Raises:
            PromptError: A required slot stays empty; names template, version and slot.
        """
        found = {slot: self._ask(slot, request) for slot in version.meta.context}
        return self._pack(version, found, budget_tokens)

    async def afill(
        self, version: PromptTemplateVersion, request: ContextRequest, *, budget_tokens: int
    ) -> Injection:
        """As `fill`; providers run side by side, and those that wait don't block the loop."""
        slots = list(version.meta.context)
        results = await asyncio.gather(*(self._aask(slot, request) for slot in slots))
        return self._pack(version, dict(zip(slots, results, strict=True)), budget_tokens)

    def _ask(self, slot: str, request: ContextRequest) -> Sequence[Piece] | Exception:
        provider = self.providers.get(slot) or Given(slot)
        try:
            waiting = getattr(provider, "aprovide", None)
            if waiting is not None and not hasattr(provider, "provide"):
                pieces: Sequence[Piece] = asyncio.run(waiting(request))
                return pieces
            return provider.provide(request)
        except InputError:
            raise
        except Exception as exc:  # noqa: BLE001 - a failing provider must not fail the turn
            return _failed(slot, exc)

    async def _aask(self, slot: str, request: ContextRequest) -> Sequence[Piece] | Exception:
        provider = self.providers.get(slot) or Given(slot)
        try:
            waiting = getattr(provider, "aprovide", None)
            if waiting is not None:
                pieces: Sequence[Piece] = await waiting(request)
                return pieces
            if isinstance(provider, Today | Tools | Given):
                return provider.provide(request)
            return await asyncio.to_thread(provider.provide, request)
        except InputError:
            raise
        except Exception as exc:  # noqa: BLE001 - a failing provider must not fail the turn
            return _failed(slot, exc)

    def _pack(
        self,
        version: PromptTemplateVersion,
        found: Mapping[str, Sequence[Piece] | Exception],
        budget_tokens: int,
    ) -> Injection:
        values: dict[str, str] = {}
        uses = []
        for name, slot in version.meta.context.items():
            pieces = found[name]
            limit = int(slot.share * max(budget_tokens, 0))
            if isinstance(pieces, Exception):
                use = SlotUse(name, 0, limit, 0, problem=f"{type(pieces).__name__}: {pieces}")
                text = ""
            else:
                text, use = self._fit(name, slot, pieces, limit)
            if slot.required and not text:
                why = use.problem or (
                    f"its {limit} tokens are too few" if use.dropped else "nothing was given"
                )
                raise PromptError(f"Prompt {version.ref} needs the context {name!r}: {why}.")
            values[name] = text
            uses.append(use)
        return Injection(values=values, uses=tuple(uses))

    def _fit(
        self, name: str, slot: Slot, pieces: Sequence[Piece], limit: int
    ) -> tuple[str, SlotUse]:
        """Whole pieces while they fit; the first one is cut when it alone is too long."""
        kept: list[str] = []
        dropped: list[str] = []
        used = 0
        cut = False
        for piece in pieces:
            text = _dressed(name, slot, piece, piece.text)
            if not text:
                continue
            tokens = self._count(text)
            if used + tokens > limit and not kept and not cut:
                text = self._cut(name, slot, piece, limit)
                tokens, cut = self._count(text) if text else 0, True
                if not text:
                    dropped.append(piece.source or name)
                    continue
            if used + tokens > limit:
                dropped.append(piece.source or name)
                continue
            kept.append(text)
            used += tokens
        whole = Fenced("\n".join(kept))
        use = SlotUse(name, used, limit, len(kept), cut and bool(kept), tuple(dropped))
        return whole, use

    def _cut(self, name: str, slot: Slot, piece: Piece, limit: int) -> str:
        """The longest beginning that fits, found by bisection; empty when nothing does."""
        low, high = 0, min(len(piece.text), limit * 16)
        while low < high:
            middle = (low + high + 1) // 2
            text = _dressed(name, slot, piece, piece.text[:middle] + " […]")
            if self._count(text) <= limit:
                low = middle
            else:
                high = middle - 1
        return _dressed(name, slot, piece, piece.text[:low] + " […]") if low else ""


def _dressed(name: str, slot: Slot, piece: Piece, text: str) -> str:
    if slot.trusted:
        return text.strip()
    return fence(text, name=name, source=piece.source)


def _failed(slot: str, exc: Exception) -> Exception:
    logging.getLogger("allotrope.prompts").warning(
        "The context provider for %r failed with %s.", slot, type(exc).__name__
    )
    return exc
