"""Mustache without logic: which tags a template may hold, and a renderer that parses once.

LangChain's own renderer does the work. We add what a prompt library needs: tags are checked when a
template is loaded, with the line; partials are put in at load, each with a pinned version; nothing
is HTML-escaped, since a prompt is not a web page; and values can't be callables (Mustache
"lambdas"), since no code runs in a template.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.utils import mustache

_TAG = re.compile(r"\{\{(\{[^}]*+\}|.*?)(\}\}|\Z)", re.DOTALL)
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$|^\.$")
_PARTIAL = re.compile(r"^[a-z][a-z0-9_.-]*@[1-9][0-9]*$")

MAX_CHARS = 262_144
"""Longest template, partials put in. A prompt that long fills a third of o3's window."""

Tokens = list[tuple[str, str]]


class MustacheError(ValueError):
    """A tag that can't be used, with its line inside the text (1-based)."""

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Use:
    """One use of a name in a template.

    Args:
        name: The name as written, `user.name` or `.`.
        kind: `value`, `section` or `inverted`.
        line: Line inside the text, 1-based.
        inside: Names of the open (not inverted) sections, outermost first.
    """

    name: str
    kind: str
    line: int
    inside: tuple[str, ...]

    @property
    def root(self) -> str:
        """The variable that the name starts from."""
        return self.name.split(".", 1)[0] if self.name != "." else "."


def _tags(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, name and line of each tag; raises on what can't be a tag."""
    end = 0
    for match in _TAG.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        stray = text.find("{{", end, match.start())
        if stray >= 0 or not match.group(2):
            raise MustacheError("a tag is opened by {{ and never closed", line=line)
        end = match.end()
        inner = match.group(1)
        sign = inner[:1]
        if sign == "!":
            continue
        kinds = {"#": "section", "^": "inverted", "/": "end", ">": "partial", "&": "value"}
        if sign == "{":
            yield "value", inner[1:-1].strip(), line
        elif sign == "=":
            raise MustacheError("a template can't change the delimiters", line=line)
        else:
            kind = kinds.get(sign, "value")
            yield kind, (inner if sign not in kinds else inner[1:]).strip(), line
    stray = text.find("{{", end)
    if stray >= 0:
        line = text.count("\n", 0, stray) + 1
        raise MustacheError("a tag is opened by {{ and never closed", line=line)


def partials(text: str) -> list[tuple[str, int]]:
    """The partials that a text asks for, `name@version`, with their lines.

    Raises:
        MustacheError: A partial without a version, or a broken tag.
    """
    found = []
    for kind, name, line in _tags(text):
        if kind == "partial":
            if not _PARTIAL.match(name):
                raise MustacheError(
                    f"the partial {name!r} needs a version, as in {{{{> house@1}}}}", line=line
                )
            found.append((name, line))
    return found


def uses(text: str) -> list[Use]:
    """All names that a text uses.

    Raises:
        MustacheError: A broken tag, an odd name, or sections that don't nest.
    """
    found: list[Use] = []
    sections: list[tuple[str, str, int]] = []
    for kind, name, line in _tags(text):
        if kind == "partial":
            continue
        if not _NAME.match(name):
            raise MustacheError(f"{name!r} is no name of a variable", line=line)
        if kind == "end":
            if not sections or sections[-1][1] != name:
                opened = f"{sections[-1][1]!r} is open" if sections else "none is open"
                raise MustacheError(f"section {name!r} is closed, but {opened}", line=line)
            sections.pop()
            continue
        inside = tuple(open_name for open_kind, open_name, _ in sections if open_kind == "section")
        found.append(Use(name=name, kind=kind, line=line, inside=inside))
        if kind in ("section", "inverted"):
            sections.append((kind, name, line))
    if sections:
        raise MustacheError(f"section {sections[-1][1]!r} is never closed", line=sections[-1][2])
    return found


def expand(text: str, load: Callable[[str], str], *, _open: tuple[str, ...] = ()) -> str:
    """Puts the partials in.

    Args:
        text: The template.
        load: Gives the text of `name@version`; raises KeyError where there is none.

    Raises:
        MustacheError: An unknown partial, or one that includes itself.
    """
    lines = dict(partials(text))
    if not lines:
        return text
    size = len(text)

    def put(match: re.Match[str]) -> str:
        inner = match.group(1)
        if not inner.startswith(">"):
            return match.group(0)
        name = inner[1:].strip()
        if name in _open:
            chain = " → ".join((*_open, name))
            raise MustacheError(f"a template includes itself: {chain}", line=lines[name])
        try:
            partial = load(name)
        except KeyError:
            raise MustacheError(f"there is no partial {name!r}", line=lines[name]) from None
        whole = expand(partial.strip("\n"), load, _open=(*_open, name))
        nonlocal size
        size += len(whole)
        if size > MAX_CHARS:
            raise MustacheError(
                f"with its partials the template is longer than {MAX_CHARS:,} characters",
                line=lines[name],
            )
        return whole

    return _TAG.sub(put, text)


def compile_text(text: str) -> Tokens:
    """Parses a text (partials already put in) for `render`; values are never HTML-escaped."""
    return [
        ("no escape" if kind == "variable" else kind, key)
        for kind, key in mustache.tokenize(text)
        if kind not in ("comment", "set delimiter")
    ]


def gated(tokens: Tokens, names: frozenset[str]) -> Tokens:
    """The same tokens with the sections of these names asking for `?name`.

    A section over a plain text makes the renderer look for each name inside the text first, which
    costs it an exception each time. Where `?name` is the values themselves (or False), the section
    means the same and the look-up hits at once.
    """
    return [
        (tag, f"?{key}") if tag == "section" and key in names else (tag, key) for tag, key in tokens
    ]


def unescaped(text: str) -> str:
    """The same template with `{{x}}` written as `{{{x}}}`, for LangChain's own renderer."""

    def put(match: re.Match[str]) -> str:
        inner = match.group(1)
        return match.group(0) if inner[:1] in "#^/!>&{=" else "{{{" + inner.strip() + "}}}"

    return _TAG.sub(put, text)


def render(tokens: Tokens, values: Mapping[str, Any]) -> str:
    """Fills the values in.

    Args:
        tokens: From `compile_text`.
        values: Text, numbers, truth values, lists and dicts; no callables.
    """
    if len(tokens) == 1 and tokens[0][0] == "literal":
        return tokens[0][1]
    return mustache.render(tokens, values)
