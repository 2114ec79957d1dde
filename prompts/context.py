"""Context injection: providers fill the slots that a template declares, within a token share.

A provider gives pieces of text for one slot (`allotrope.prompts.providers`). The pieces are fenced
as data (unless the slot is `trusted`), packed whole in the order given until the slot's share is
used up, and what did not fit is told, never silently lost.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from allotrope.exceptions import InputError, PromptError
from allotrope.prompts.providers import (
    ContextPiece,
    ContextProvider,
    ContextRequest,
    Given,
    Today,
    Tools,
    builtin_providers,
    installed_points,
    load_provider,
)
from allotrope.prompts.schema import Slot
from allotrope.prompts.template import PromptTemplateVersion
from allotrope.stores.errors import error_name
from allotrope.support.fencing import Fenced, fence
from allotrope.support.pools import TURNS, pool_for

Found = Mapping[str, "Sequence[ContextPiece] | Exception"]
"""What providers gave, by slot; the error where one failed."""


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

    values: Mapping[str, Fenced]
    uses: tuple[SlotUse, ...]


class ContextInjector:
    """Fills slots. One serves a whole process, from any thread.

    Args:
        count: Counts the tokens of a text, by the model that will answer.
        providers: By slot; default: ours and the installed ones, which win. A slot without a
            provider gets what the request has under its name.
    """

    def __init__(
        self,
        *,
        count: Callable[[str], int],
        providers: Mapping[str, ContextProvider] | None = None,
    ) -> None:
        self._count = count
        self._known: dict[str, ContextProvider] = {**(providers or {})}
        self._builtin = {} if providers is not None else builtin_providers()
        self._points: Mapping[str, EntryPoint] | None = None if providers is None else {}
        self._lock = threading.Lock()

    def provider(self, slot: str) -> ContextProvider:
        """Who fills a slot; an installed provider is imported when its slot is first asked for.

        Args:
            slot: The slot's name.

        Raises:
            PromptError: The installed provider can't be loaded.
        """
        found = self._known.get(slot)
        if found is not None:
            return found
        with self._lock:
            if self._points is None:
                self._points = installed_points()
        point = self._points.get(slot)
        found = self._builtin.get(slot, Given(slot)) if point is None else load_provider(point)
        return self._known.setdefault(slot, found)

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
        found = self.gather(version.meta.context, request)
        return self.pack(version, found, budget_tokens=budget_tokens)

    async def afill(
        self, version: PromptTemplateVersion, request: ContextRequest, *, budget_tokens: int
    ) -> Injection:
        """As `fill`; providers run side by side, and nothing blocks the event loop."""
        found = await self.agather(version.meta.context, request)
        return await TURNS.run(self.pack, version, found, budget_tokens=budget_tokens)

    def gather(self, slots: Collection[str], request: ContextRequest) -> Found:
        """What the providers of some slots have to give, in full.

        Args:
            slots: Their names.
            request: What providers may look at.
        """
        return {slot: self._ask(slot, request) for slot in slots}

    async def agather(self, slots: Collection[str], request: ContextRequest) -> Found:
        """As `gather`; providers run side by side, and nothing blocks the event loop."""
        if not all(slot in self._known for slot in slots):
            await TURNS.run(lambda: [self.provider(slot) for slot in slots])
        results = await asyncio.gather(*(self._aask(slot, request) for slot in slots))
        return dict(zip(slots, results, strict=True))

    def pack(
        self,
        version: PromptTemplateVersion,
        found: Found,
        *,
        budget_tokens: int,
        count: Callable[[str], int] | None = None,
    ) -> Injection:
        """Fences what was gathered and cuts it to the slots' shares.

        Args:
            version: The template.
            found: From `gather`; slots that aren't in it are left alone.
            budget_tokens: Tokens for context. Shares that sum to more than 1 are scaled down.
            count: Counts the tokens of a text; default: the injector's own.

        Raises:
            PromptError: A required slot stays empty; names template, version and slot.
        """
        count = count or self._count
        slots = {name: slot for name, slot in version.meta.context.items() if name in found}
        limits = self.limits(version, slots, budget_tokens=budget_tokens)
        values: dict[str, Fenced] = {}
        uses = []
        for name, slot in slots.items():
            pieces = found[name]
            limit = limits[name]
            if isinstance(pieces, Exception):
                use = SlotUse(name, 0, limit, 0, problem=f"{type(pieces).__name__}: {pieces}")
                text = Fenced("")
            else:
                text, use = _fitted(name, slot, pieces, limit, count)
            if slot.required and not text:
                why = use.problem or (
                    f"its {limit} tokens are too few" if use.dropped else "nothing was given"
                )
                raise PromptError(f"Prompt {version.ref} needs the context {name!r}: {why}.")
            values[name] = text
            uses.append(use)
        return Injection(values=values, uses=tuple(uses))

    def limits(
        self, version: PromptTemplateVersion, names: Collection[str], *, budget_tokens: int
    ) -> dict[str, int]:
        """Tokens that each of some slots may cost. Shares that sum to more than 1 are scaled down.

        Args:
            version: The template.
            names: The slots that share the budget.
            budget_tokens: Tokens for context.
        """
        shares = {name: version.meta.context[name].share for name in names}
        room = max(budget_tokens, 0) / max(1.0, sum(shares.values()))
        return {name: int(share * room) for name, share in shares.items()}

    def dressed(self, version: PromptTemplateVersion, name: str, piece: ContextPiece) -> str:
        """A piece as it stands in a slot: fenced, unless the slot is trusted.

        Args:
            version: The template.
            name: The slot.
            piece: What goes in.
        """
        return _dressed(name, version.meta.context[name], piece, piece.text)

    def _ask(self, slot: str, request: ContextRequest) -> Sequence[ContextPiece] | Exception:
        provider = self.provider(slot)
        try:
            if hasattr(provider, "provide"):
                return provider.provide(request)
            waiting: Any = provider
            return _awaited(waiting.aprovide(request))
        except InputError:
            raise
        except Exception as exc:  # noqa: BLE001 - a failing provider must not fail the turn
            return _failed(slot, exc)

    async def _aask(self, slot: str, request: ContextRequest) -> Sequence[ContextPiece] | Exception:
        provider = self.provider(slot)
        try:
            waiting = getattr(provider, "aprovide", None)
            if waiting is not None:
                pieces: Sequence[ContextPiece] = await waiting(request)
                return pieces
            if isinstance(provider, Today | Tools | Given):
                return provider.provide(request)
            return await pool_for(len(request.question)).run(provider.provide, request)
        except InputError:
            raise
        except Exception as exc:  # noqa: BLE001 - a failing provider must not fail the turn
            return _failed(slot, exc)


def _awaited(pieces: Coroutine[Any, Any, Sequence[ContextPiece]]) -> Sequence[ContextPiece]:
    """What a provider that waits gives, for a caller that blocks; also inside a running loop."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, pieces).result()


def _fitted(
    name: str, slot: Slot, pieces: Sequence[ContextPiece], limit: int, count: Callable[[str], int]
) -> tuple[Fenced, SlotUse]:
    """Whole pieces while they fit; the first one is cut when it alone is too long."""
    kept: list[str] = []
    dropped: list[str] = []
    used = 0
    cut = False
    for piece in pieces:
        text = _dressed(name, slot, piece, piece.text)
        if not text:
            continue
        tokens = count(text)
        if used + tokens > limit and not kept and not cut:
            text = _cut(name, slot, piece, limit, count)
            tokens, cut = count(text) if text else 0, True
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


def _cut(
    name: str, slot: Slot, piece: ContextPiece, limit: int, count: Callable[[str], int]
) -> str:
    """The longest beginning that fits, found by bisection; empty when nothing does."""
    low, high = 0, min(len(piece.text), limit * 16)
    while low < high:
        middle = (low + high + 1) // 2
        text = _dressed(name, slot, piece, piece.text[:middle] + " […]")
        if count(text) <= limit:
            low = middle
        else:
            high = middle - 1
    return _dressed(name, slot, piece, piece.text[:low] + " […]") if low else ""


def _dressed(name: str, slot: Slot, piece: ContextPiece, text: str) -> str:
    if slot.trusted:
        return text.strip()
    return fence(text, name=name, source=piece.source)


def _failed(slot: str, exc: Exception) -> Exception:
    logging.getLogger("allotrope.prompts").warning(
        "The context provider for %r failed with %s.", slot, error_name(exc)
    )
    return exc
