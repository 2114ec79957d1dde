"""Which answers hang on when they are given: by words of many languages, and by tools."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from langchain_core.messages import BaseMessage

VOLATILE = re.compile(
    r"""\b(?:
    today(?:'s)? | tonight | tomorrow(?:'s)? | yesterday(?:'s)? | now(?:adays)? | currently
    | at\ (?:the\ moment|present) | right\ now | as\ of | so\ far | latest | newest | recent(?:ly)?
    | up[- ]to[- ]date | live | breaking | upcoming | still
    | current\ (?:\w+)
    | (?:this|last|next|past)\ (?:second|minute|hour|morning|afternoon|evening|night|day|week|
        weekend|month|quarter|year|season|monday|tuesday|wednesday|thursday|friday|saturday|sunday)
    | what(?:'s|\ is)?\ (?:the\ )?(?:time|date|day) | what\ (?:time|day|date|year)\ is
    | weather | forecast | temperature\ in | stock | share\ price | exchange\ rate | price\ of
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

_SEARCHING = frozenset({"search", "web", "online", "sonar", "grounding", "browse", "browsing"})
"""Words in the name of a parameter or a model that mean the provider looks things up."""

_NO_TOOLS = frozenset({"parallel_tool_calls", "tool_choice", "tools"})
_WORD = re.compile(r"[^\s!-&(-/:-@\[-`{-~«»“”„؛؟،。、？！，；：।¿¡…]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
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
    spaced, unspaced = _time_words()
    if any(phrase in spaced for phrase in _phrases(text)):
        return True
    return bool(_UNSPACED.search(text)) and any(phrase in text for phrase in unspaced)


def _phrases(text: str) -> Iterator[str]:
    """The words of a text, and up to `MOST_WORDS` of them in a row."""
    words = _bare(text)
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


@lru_cache(maxsize=1)
def _time_words() -> tuple[frozenset[str], tuple[str, ...]]:
    """Phrases of languages with blanks between words, and of those without.

    From `time_words.json`, which `benchmarks/_time_words.py` makes of CLDR's data. English has its
    own list above.
    """
    file = files("allotrope.models.cache.request").joinpath("time_words.json")
    by_language = json.loads(file.read_text(encoding="utf-8"))
    by_language.pop("en", None)
    phrases = {phrase for words in by_language.values() for phrase in words}
    unspaced = tuple(sorted(phrase for phrase in phrases if _UNSPACED.search(phrase)))
    return frozenset(" ".join(_bare(phrase)) for phrase in phrases - set(unspaced)), unspaced


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
