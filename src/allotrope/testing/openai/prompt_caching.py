"""OpenAI's prompt caching, by its rules before and from GPT-5.6 on.

Source: OpenAI's guide (developers.openai.com/api/docs/guides/prompt-caching) and the API reference
of `prompt_cache_options`, as of November 2026.

Before GPT-5.6 the longest prefix that an earlier prompt shares is read, in steps of 128 tokens, and
writing costs nothing. From GPT-5.6 on a prefix is written up to a breakpoint (an explicit one, or
the implicit one at the latest user or tool message), counted as written, and read again only at
the same breakpoint; there is no falling back to a shorter prefix that nobody marked. Prompts below
1,024 tokens are never cached. Not played: that many requests a minute spill over to machines that
know nothing of the prompt.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from allotrope.testing.checks import value_at
from allotrope.testing.content.catalog import SimModel
from allotrope.testing.content.replies import SimRequest, Turn
from allotrope.testing.content.tokens import TOKENS_PER_MESSAGE, Counter

SHORTEST = 1024
"""Tokens from which on a prefix is cached."""
STEP = 128
"""Before GPT-5.6 a hit is a multiple of so many tokens."""

_WRITES = 4
_LOOKS_BACK = 80
_TTL_S = {"30m": 1800.0, "12h": 43_200.0}
_IDLE_S = 600.0
_RETAINED_S = {"24h": 86_400.0}
_KEPT_PROMPTS = 256


@dataclass(frozen=True, slots=True)
class CacheUse:
    """The prompt tokens a request read from the cache, and those it wrote; None: not reported."""

    read: int = 0
    written: int | None = None


@dataclass(frozen=True, slots=True)
class _Point:
    """A place where a prefix may end: its hash, its length in tokens, and what put it there."""

    digest: bytes
    tokens: int
    explicit: bool
    implicit: bool


@dataclass(slots=True)
class _Shelf:
    """What is cached for one account, model, cache key and set of tools and schema."""

    written: dict[bytes, float] = field(default_factory=dict)
    prompts: dict[tuple[Turn, ...], float] = field(default_factory=dict)


class PromptCache:
    """The prompt cache of a provider, apart for each account, model and `prompt_cache_key`.

    Args:
        counter: Tokens of a text.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._shelves: dict[tuple[str, ...], _Shelf] = {}

    def clear(self) -> None:
        """Forgets every prompt."""
        self._shelves = {}

    def use(self, request: SimRequest, model: SimModel) -> CacheUse:
        """Reads what it can of a request's prompt, and writes the rest.

        Args:
            request: A request for an answer.
            model: The rules of its model.
        """
        body = request.body
        names = ("tools", "functions", "response_format", "text.format")
        head = json.dumps([value_at(body, name) for name in names], sort_keys=True)
        where = (
            request.account,
            model.snapshot or model.name,
            str(body.get("prompt_cache_key") or ""),
            hashlib.sha256(head.encode()).hexdigest(),
        )
        shelf = self._shelves.setdefault(where, _Shelf())
        if model.cache_breakpoints:
            return self._marked(request, shelf)
        return CacheUse(self._automatic(request, shelf))

    # -- from GPT-5.6 on -----------------------------------------------------------------------

    def _marked(self, request: SimRequest, shelf: _Shelf) -> CacheUse:
        options = request.body.get("prompt_cache_options") or {}
        implicit = options.get("mode", "implicit") == "implicit"
        until = request.at + _TTL_S[options.get("ttl") or "30m"]
        points = [
            point
            for point in self._points(request.asked.turns)
            if point.tokens >= SHORTEST and (point.explicit or (implicit and point.implicit))
        ]
        read = 0
        for point in islice(reversed(points), _LOOKS_BACK):
            if shelf.written.get(point.digest, -1.0) >= request.at:
                read = point.tokens
                shelf.written[point.digest] = until
                break
        latest = [point for point in points if point.implicit][-1:] if implicit else []
        marked = [point for point in points if point.explicit][-(_WRITES - len(latest)) :]
        written = 0
        for point in (*marked, *latest):
            if shelf.written.get(point.digest, -1.0) < request.at:
                written = max(written, point.tokens - read)
            shelf.written[point.digest] = until
        return CacheUse(read, max(0, written))

    def _points(self, turns: Sequence[Turn]) -> list[_Point]:
        points, before, tokens = [], hashlib.sha256(), 0
        for turn in turns:
            tokens += TOKENS_PER_MESSAGE + turn.image_tokens
            before.update(f"\0{turn.role}\0{turn.images}\0".encode())
            for offset in sorted({*turn.breakpoints, len(turn.text)}):
                here = before.copy()
                here.update(turn.text[:offset].encode("utf-8", "surrogatepass"))
                points.append(
                    _Point(
                        digest=here.digest(),
                        tokens=tokens + self._counter(turn.text[:offset]),
                        explicit=offset in turn.breakpoints,
                        implicit=offset == len(turn.text) and turn.role in ("user", "tool"),
                    )
                )
            before, tokens = here, points[-1].tokens
        return points

    # -- before GPT-5.6 ------------------------------------------------------------------------

    def _automatic(self, request: SimRequest, shelf: _Shelf) -> int:
        turns, now = request.asked.turns, request.at
        idle = _RETAINED_S.get(request.body.get("prompt_cache_retention") or "", _IDLE_S)
        shelf.prompts = {known: until for known, until in shelf.prompts.items() if until >= now}
        shared = max((self._shared(turns, known) for known in shelf.prompts), default=0)
        shelf.prompts.pop(turns, None)
        shelf.prompts[turns] = now + idle
        for known in list(shelf.prompts)[:-_KEPT_PROMPTS]:
            del shelf.prompts[known]
        return shared // STEP * STEP if shared >= SHORTEST else 0

    def _shared(self, turns: Sequence[Turn], known: Sequence[Turn]) -> int:
        tokens = 0
        for one, other in zip(turns, known, strict=False):
            if (one.role, one.images) != (other.role, other.images):
                break
            tokens += TOKENS_PER_MESSAGE + one.image_tokens
            if one.text != other.text:
                return tokens + self._counter(one.text[: _common(one.text, other.text)])
            tokens += self._counter(one.text)
        return tokens


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their start."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
