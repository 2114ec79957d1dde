"""The rules of the cache: what is asked of it, what may be kept, how long. Pure functions."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, Generation

from allotrope.contracts import Metadata
from allotrope.exceptions import InputError
from allotrope.models.cache.semantic.words import STOPWORDS
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
        elif name == "max-age" and _is_whole(value):
            max_age = float(value)
        elif name == "ttl" and _is_whole(value):
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


def _is_whole(value: str) -> bool:
    """Whether a text is a number of seconds that a store can take: up to thirty years."""
    return value.isdecimal() and len(value) <= 9


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


VOLATILE = re.compile(
    r"""\b(?:
    today(?:'s)? | tonight | tomorrow(?:'s)? | yesterday(?:'s)? | now(?:adays)? | currently
    | at\ (?:the\ moment|present) | right\ now | as\ of | so\ far | latest | newest | recent(?:ly)?
    | up[- ]to[- ]date | live | breaking | upcoming | still
    | current\ (?:\w+)
    | (?:this|last|next|past)\ (?:second|minute|hour|morning|afternoon|evening|night|day|week|
        weekend|month|quarter|year|season|monday|tuesday|wednesday|thursday|friday|saturday|sunday)
    | what(?:'s|\ is)?\ (?:the\ )?(?:time|date|day) | what\ (?:time|day|date|year)\ is
    | weather | forecast | temperature\ in | stock | exchange\ rate | price\ of | \w+\ price
    | news | headlines? | traffic | score | trending | ago
    | heute | gestern | morgen | jetzt | aktuell\w* | neueste\w* | derzeit
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""Words that make an answer depend on when it is given. A false alarm costs a hit, no more."""

_LOOKED_AT = 10_000
"""Characters at each end of a long question that are looked at: what is asked stands there."""

FOLLOWS = 3
"""Questions before the last one that are looked at, too: *And in Lyon?* asks for the weather."""

MOST_WORDS = 4
"""Words of the longest phrase that is looked up."""

PURE_TOOLS = frozenset({"function", "custom", "code_interpreter", "image_generation"})
"""Kinds of tools that read nothing which changes; all others that a provider runs itself do."""

_SEARCHING = frozenset(
    {
        "search", "web", "online", "sonar", "grounding", "browse", "browsing", "research",
        "compound", "mcp", "connector", "connectors", "sources", "conversation",
    }
)  # fmt: skip
"""Words in the name of a parameter or a model that mean the provider looks things up.

`mcp_servers`, `connectors` and `data_sources` name where it does so; a `conversation` that the
provider keeps grows with each question.
"""

_NO_TOOLS = frozenset({"parallel_tool_calls", "tool_choice", "tools"})
_WORD = re.compile(r"[^\s!-&(-/:-@\[-`{-~«»“”„؛؟،。、？！，；：।¿¡…]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_BREAK = "\u200b"
"""Where a line may break in a script without blanks; some type it and some don't."""

FOREIGN = 3
"""Words that a text must have to be told from English by having none of `_FUNCTION_WORDS`."""

_FUNCTION_WORDS = frozenset(word for word in STOPWORDS if len(word) > 2)
"""Words of English that an English question hardly does without."""

_PARTS = re.compile(r"[^a-z]+")


def time_dependent(messages: Sequence[BaseMessage]) -> bool:
    """Whether the answer depends on when it is given, by the words of the last questions.

    Args:
        messages: The conversation. The last question counts, and the `FOLLOWS` before it, because a
            follow-up asks about what they asked about.
    """
    asked = [m for m in messages if m.type in ("human", "HumanMessageChunk")]
    return any(names_a_time(part) for m in asked[-1 - FOLLOWS :] for part in _ends(str(m.text)))


def _ends(text: str) -> tuple[str, ...]:
    return (text,) if len(text) <= 2 * _LOOKED_AT else (text[:_LOOKED_AT], text[-_LOOKED_AT:])


def names_a_time(text: str) -> bool:
    """Whether a text has words, of whatever language, that bind an answer to a moment."""
    if VOLATILE.search(text):
        return True
    known = _time_words()
    words = _bare(text)
    if any(phrase in known.spaced for phrase in _phrases(words)):
        return True
    if len(words) >= FOREIGN and _FUNCTION_WORDS.isdisjoint(words):
        typed = _WORD.findall(unicodedata.normalize("NFC", text.lower()))
        if not known.shared.isdisjoint(typed):
            return True
    if not _UNSPACED.search(text):
        return False
    joined = text.replace(_BREAK, "")
    return any(phrase in joined for phrase in known.unspaced)


def _phrases(words: Sequence[str]) -> Iterator[str]:
    """The words of a text, and up to `MOST_WORDS` of them in a row."""
    for start in range(len(words)):
        phrase = words[start]
        yield phrase
        if "'" in phrase:
            yield phrase.split("'", 1)[1]
        for word in words[start + 1 : start + MOST_WORDS]:
            phrase = f"{phrase} {word}"
            yield phrase


def _bare(text: str) -> list[str]:
    """The words of a text in lower case, without accents and vowel points."""
    text = text.lower().replace("\u2019", "'")
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in parts if not unicodedata.combining(char))
    return _WORD.findall(text)


@dataclass(frozen=True)
class _TimeWords:
    """What `time_words.json` has.

    Args:
        spaced: Phrases of languages with blanks between words.
        unspaced: Phrases of languages without.
        shared: Words that are English ones, too, with another meaning: *sutra*, *leo*, and, where
            the accents are left away, *môre*.
    """

    spaced: frozenset[str]
    unspaced: tuple[str, ...]
    shared: frozenset[str]


@lru_cache(maxsize=1)
def _time_words() -> _TimeWords:
    """From `time_words.json`, which `benchmarks/_time_words.py` makes of CLDR's data.

    English has its own list above.
    """
    file = files("allotrope.models.cache").joinpath("time_words.json")
    by_language = json.loads(file.read_text(encoding="utf-8"))
    by_language.pop("en", None)
    shared = frozenset(by_language.pop("shared"))
    phrases = {phrase.replace(_BREAK, "") for words in by_language.values() for phrase in words}
    unspaced = tuple(sorted(phrase for phrase in phrases if _UNSPACED.search(phrase)))
    spaced = frozenset(" ".join(_bare(phrase)) for phrase in phrases - set(unspaced))
    return _TimeWords(spaced, unspaced, shared)


def reads_the_world(tools: Sequence[Any], words: Sequence[str]) -> bool:
    """Whether one of the tools reads what changes, by the words of its name.

    Args:
        tools: As they are bound, OpenAI's form.
        words: Parts of names, `search`, `weather`.
    """
    for tool in tools:
        name = tool.get("function", tool).get("name") if isinstance(tool, Mapping) else None
        name = str(name or getattr(tool, "name", "") or getattr(tool, "__name__", "")).lower()
        parts = set(_PARTS.split(name))
        if parts & set(words) or provider_reads([tool]):
            return True
    return False


def provider_reads(
    tools: Sequence[Any], *, model: str = "", arguments: Mapping[str, Any] | None = None
) -> bool:
    """Whether the provider itself looks things up for the answer, as with `web_search`.

    A tool that the provider runs has a kind of its own instead of a schema of ours.

    Args:
        tools: As they are bound.
        model: Its name; `gpt-4o-search-preview` always searches.
        arguments: The call's other arguments, such as `web_search_options`.
    """
    for tool in tools:
        if (
            not isinstance(tool, Mapping)
            or "function" in tool
            or "input_schema" in tool
            or tool.get("type") == "object"
        ):
            continue
        kind = str(tool.get("type", ""))
        if kind:
            if kind not in PURE_TOOLS:
                return True
        elif not ({"name", "title", "description"} & set(tool)):  # Gemini's `{"google_search": {}}`
            return True
    if _SEARCHING & set(_PARTS.split(model.lower())):
        return True
    return any(_asks_to_search(name, value) for name, value in (arguments or {}).items())


def _asks_to_search(name: str, value: Any) -> bool:
    """Whether a parameter switches a search on, itself or within `extra_body`."""
    if name in _NO_TOOLS or value is None or value is False:
        return False
    if _SEARCHING & set(_PARTS.split(name.lower())):
        return not (isinstance(value, Mapping) and value.get("mode") == "off")
    if name == "plugins":
        return any(_SEARCHING & set(_PARTS.split(str(part).lower())) for part in value)
    if name in ("extra_body", "model_kwargs") and isinstance(value, Mapping):
        inner = value.get("tools")
        if isinstance(inner, list) and provider_reads(inner):
            return True
        return any(_asks_to_search(str(key), part) for key, part in value.items())
    return False


def read_the_world(content: Any) -> bool:
    """Whether an answer shows that the provider looked something up: by a call, by a source."""
    if not isinstance(content, list):
        return False
    for block in content:
        if not isinstance(block, Mapping):
            continue
        kind = str(block.get("type", ""))
        if kind.endswith(("_search_call", "_fetch_call", "server_tool_use", "_tool_result")):
            return True
        if kind in ("server_tool_call", "server_tool_result", "mcp_call", "web_search_call"):
            return True
        if any(
            isinstance(note, Mapping) and str(note.get("type")) in ("url_citation", "citation")
            for note in block.get("annotations") or ()
        ):
            return True
    return False
