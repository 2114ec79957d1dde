"""The rules of the cache: what is asked of it, what may be kept, how long. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

from allotrope.contracts import Metadata
from allotrope.exceptions import InputError
from allotrope.models.cache.request.volatility import read_the_world
from allotrope.settings.cache import CacheSettings

DIRECTIVES = Metadata.CACHE
"""Key in a run's metadata, or in `configurable` of a chain or graph.

Its value: `no-store`, `no-cache`, `max-age=60`, `use`, separated by commas; a profile adds
`no-semantic` and `ttl=60`.
"""

DOCS = Metadata.DOCS
"""Key in a run's metadata: a list of the source documents that the answer was made from."""

TRUNCATED = frozenset(
    {"length", "max_tokens", "max_output_tokens", "incomplete", "content_filter", "refusal", "load"}
)
"""Finish reasons of answers that were cut or refused."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Who asks, and how the cache may be used for it."""

    tenant: str = "default"
    agent: str = ""
    profile: str = ""
    prompt: str = ""
    run_id: str = ""
    thread: str = ""
    docs: tuple[str, ...] = ()
    read: bool = True
    write: bool = True
    max_age_s: float | None = None
    semantic: bool = True
    ttl_s: float | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """What an answer to this request can be invalidated by."""
        named = {
            "prompt": self.prompt,
            "profile": self.profile,
            "run": self.run_id,
            "thread": self.thread,
        }
        found = [f"{kind}={value}" for kind, value in named.items() if value]
        return (*found, *(f"doc={name}" for name in self.docs))


def request_of(
    metadata: Mapping[str, Any], *, tenant: str = "default", settings: CacheSettings
) -> Request:
    """Reads a run's metadata (docs/contracts.md).

    Args:
        metadata: Of the run.
        tenant: Whose data it is where the run doesn't say.
        settings: Its `bypass_profiles` don't use the cache unless the run says `use`.

    Raises:
        InputError: A directive is unknown or malformed.
    """
    read = write = True
    semantic = True
    max_age: float | None = None
    ttl: float | None = None
    asked = str(metadata.get(DIRECTIVES) or "")
    words = {word.strip().lower() for word in asked.split(",") if word.strip()}
    for word in words:
        name, _, value = word.partition("=")
        if name == "no-store":
            write = False
        elif name == "no-cache":
            read = False
        elif name == "max-age" and value.isdigit():
            max_age = float(value)
        elif name == "ttl" and value.isdigit():
            ttl = float(value)
        elif name == "no-semantic":
            semantic = False
        elif name != "use":
            raise InputError(
                f"The cache directive {word!r} is unknown.",
                hint="Use no-store, no-cache, max-age=SECONDS or use, separated by commas.",
            )
    profile = str(metadata.get(Metadata.PROFILE) or "")
    if profile in settings.bypass_profiles and "use" not in words:
        read = write = False
    return Request(
        tenant=str(metadata.get(Metadata.TENANT) or tenant),
        agent=str(metadata.get(Metadata.AGENT) or ""),
        profile=profile,
        prompt=str(metadata.get(Metadata.PROMPT) or ""),
        docs=_docs(metadata.get(DOCS)),
        run_id=str(metadata.get(Metadata.RUN_ID) or ""),
        thread=str(metadata.get("thread_id") or ""),
        read=read,
        write=write,
        max_age_s=max_age,
        semantic=semantic,
        ttl_s=ttl,
    )


def _docs(given: object) -> tuple[str, ...]:
    """The names of source documents: a list of them, or one alone."""
    if isinstance(given, str):
        return (given,) if given else ()
    if not isinstance(given, list | tuple | set | frozenset):
        return ()
    return tuple(sorted({str(name) for name in given if name}))


def lifetime(request: Request, settings: CacheSettings, *, volatile: bool, chance: float) -> float:
    """Seconds an answer is kept: as the profile says, else by agent, by profile, in general.

    Spread by the jitter.

    Args:
        request: Who asks.
        settings: The lifetimes.
        volatile: Whether the answer depends on when it is given.
        chance: A number in [0, 1), so that what was stored together doesn't expire together.

    Returns:
        Seconds; 0 means: not kept.
    """
    if volatile:
        return min(settings.volatile_ttl_s, request.ttl_s or settings.volatile_ttl_s)
    ttl = request.ttl_s or settings.ttl_by_agent.get(
        request.agent, settings.ttl_by_profile.get(request.profile, settings.ttl_s)
    )
    return ttl * (1 - settings.ttl_jitter * chance)


def unfit(generations: Sequence[Generation]) -> str | None:
    """Why these answers must not be kept; None when they may.

    Never kept: nothing, empty or truncated text, refusals, broken tool calls, answers cut short. A
    fallback's whole answer is kept: its key has the fallback's own name, never the primary's.
    """
    if not generations:
        return "nothing"
    for generation in generations:
        info = dict(generation.generation_info or {})
        if not isinstance(generation, ChatGeneration):
            if not generation.text:
                return "empty"
        else:
            message = generation.message
            if not isinstance(message, AIMessage):
                return "not an answer"
            info |= message.response_metadata
            if message.additional_kwargs.get("refusal"):
                return "refused"
            if message.invalid_tool_calls:
                return "broken tool call"
            if not message.tool_calls and not message.text.strip():
                return "empty"
            if read_the_world(message.content):
                return "read the world"
            if isinstance(message.content, list) and any(
                isinstance(block, dict) and block.get("type") == "refusal"
                for block in message.content
            ):
                return "refused"
        reason = info.get("finish_reason") or info.get("done_reason") or info.get("stop_reason")
        stamp = info.get("allotrope")
        if not reason and isinstance(stamp, dict) and stamp.get("degraded"):
            return "cut short"
        if reason in TRUNCATED or info.get("status") in ("incomplete", "failed", "cancelled"):
            return "truncated"
    return None
