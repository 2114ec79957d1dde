"""Reading a template's file: front matter, messages, partials; complaints with file and line.

The file has a YAML front matter and then the messages, each opened by a line of its own:

    ---
    name: assistant
    version: 1
    …
    ---
    === system
    You are …
    === placeholder messages
    === system volatile
    {{#today}}Today is {{today}}.{{/today}}
    === end

The last line says that the file is whole: a file that an editor has written half is never taken.
A line of the text itself that has to start with `===` is written `\\===`.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from allotrope.prompts import mustache
from allotrope.prompts.schema import END, FrontMatter, Role, TemplateError, TemplateMessage
from allotrope.prompts.template import PromptTemplateVersion
from allotrope.support.complaints import complaints

_HEAD = re.compile(r"^===[ \t]+(system|human|ai|placeholder)(?:[ \t]+([a-z][a-z0-9_]*))?[ \t]*$")


def parse(
    text: str, *, origin: str, load_partial: Callable[[str], str] | None = None
) -> PromptTemplateVersion:
    """Reads a template.

    Args:
        text: The file's text.
        origin: Its name for error messages.
        load_partial: Gives the body of the partial `name@version`; raises KeyError for others.

    Raises:
        TemplateError: The text is no template; says line and field.
    """
    text = text.replace("\r\n", "\n")
    if len(text) > mustache.MAX_CHARS:
        raise TemplateError(
            f"a template has at most {mustache.MAX_CHARS:,} characters, this one has {len(text):,}",
            origin=origin,
        )
    meta, body, first = _front_matter(text, origin=origin)
    used: dict[str, str] = {}

    def load(ref: str) -> str:
        if load_partial is None:
            raise KeyError(ref)
        used[ref] = load_partial(ref)
        return used[ref]

    parts = []
    for role, name, message, line in _split(body, first, origin=origin):
        try:
            whole = mustache.expand(message, load)
            mustache.uses(whole)
        except mustache.MustacheError as exc:
            raise TemplateError(str(exc), origin=origin, line=line + exc.line - 1) from exc
        parts.append(TemplateMessage(role=role, name=name, text=whole, line=line))
    digest = hashlib.sha256(text.encode())
    for ref in sorted(used):
        digest.update(f"\0{ref}\0{used[ref]}".encode())
    version = PromptTemplateVersion(
        meta=meta,
        parts=tuple(parts),
        text=text,
        origin=origin,
        hash=digest.hexdigest(),
        partials=tuple(sorted(used)),
    )
    _check_placeholders(version)
    return version


def body_of(text: str, *, origin: str) -> tuple[FrontMatter, str]:
    """Front matter and body of a partial, whose body is plain text without messages.

    Raises:
        TemplateError: The text is no template.
    """
    meta, body, _ = _front_matter(text.replace("\r\n", "\n"), origin=origin)
    return meta, body.strip("\n")


def _without_end(text: str, *, origin: str) -> str:
    body, newline, last = text.rstrip().rpartition("\n")
    if last.rstrip() != END:
        raise TemplateError(
            f"the last line must be `{END}`, which says that the file is whole",
            origin=origin,
            line=text.rstrip().count("\n") + 1,
        )
    return body + newline


def _front_matter(text: str, *, origin: str) -> tuple[FrontMatter, str, int]:
    lines = _without_end(text, origin=origin).split("\n")
    if lines[0].rstrip() != "---":
        raise TemplateError("the first line must be ---", origin=origin, line=1)
    try:
        end = next(i for i, line in enumerate(lines[1:], start=1) if line.rstrip() == "---")
    except StopIteration:
        raise TemplateError("the front matter is never closed by ---", origin=origin) from None
    try:
        data = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        problem = getattr(exc, "problem", None) or str(exc)
        line = None if mark is None else mark.line + 2
        raise TemplateError(
            f"the front matter is no YAML: {problem}", origin=origin, line=line
        ) from exc
    if not isinstance(data, dict):
        raise TemplateError("the front matter must be a mapping", origin=origin, line=2)
    try:
        meta = FrontMatter.model_validate(data)
    except ValidationError as exc:
        first = complaints(exc)[0]
        line = _line_of(lines[:end], [str(part) for part in first.path])
        raise TemplateError(first.message, origin=origin, line=line, at=first.field) from exc
    both = sorted(set(meta.variables) & set(meta.context))
    if both:
        raise TemplateError(
            f"{both[0]!r} is both a variable and a context slot", origin=origin, at="context"
        )
    return meta, "\n".join(lines[end + 1 :]), end + 2


def _line_of(lines: Sequence[str], path: Sequence[str]) -> int | None:
    """The line of the deepest key of the path that is there, 1-based."""
    found = None
    start = 0
    for key in path:
        for index in range(start, len(lines)):
            if re.match(rf"^\s*(- )?{re.escape(key)}\s*:", lines[index]):
                found, start = index + 1, index + 1
                break
    return found


def _split(body: str, first: int, *, origin: str) -> list[tuple[Role, str | None, str, int]]:
    """The messages: role, name, text, first line in the file."""
    found: list[tuple[Role, str | None, list[str], int]] = []
    for number, line in enumerate(body.split("\n"), start=first):
        head = _HEAD.match(line)
        if head:
            role: Any = head.group(1)
            found.append((role, head.group(2), [], number + 1))
        elif line.startswith("==="):
            raise TemplateError(
                f"{line.strip()!r} opens no message; use system, human, ai or placeholder NAME "
                "(or write \\=== for a line of text)",
                origin=origin,
                line=number,
            )
        elif found:
            found[-1][2].append(line.removeprefix("\\") if line.startswith("\\===") else line)
        elif line.strip():
            raise TemplateError(
                "text before the first message; open one with `=== system`",
                origin=origin,
                line=number,
            )
    if not found:
        raise TemplateError("there are no messages; open one with `=== system`", origin=origin)
    for role, name, text, line_number in found:
        if role == "placeholder" and (name is None or any(text_line.strip() for text_line in text)):
            raise TemplateError(
                "a placeholder needs a name and has no text, as in `=== placeholder messages`",
                origin=origin,
                line=line_number - 1,
            )
    return [(role, name, "\n".join(text), number) for role, name, text, number in found]


def _check_placeholders(version: PromptTemplateVersion) -> None:
    for part in version.parts:
        if part.role != "placeholder":
            continue
        variable = version.meta.variables.get(part.name or "")
        if variable is None or variable.type != "messages":
            raise TemplateError(
                f"the placeholder {part.name!r} needs a variable of type messages",
                origin=version.origin,
                line=part.line - 1,
                at="variables",
            )
