"""What is wrong with a template beyond its form: unused names, volatile text too early, habits."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from allotrope.prompts import mustache
from allotrope.prompts.schema import TemplateMessage
from allotrope.prompts.template import PromptTemplateVersion

_STEPS = re.compile(
    r"\b(?:think|reason|work)\s+(?:\w+\s+)?step[\s-]by[\s-]step\b|\bchain[\s-]of[\s-]thought\b",
    re.IGNORECASE,
)
_JSON = re.compile(r"\bjson\b", re.IGNORECASE)
LONG = 24_000
"""Characters (about 6,000 tokens) after which a fixed text is worth a question."""


@dataclass(frozen=True)
class LintFinding:
    """Something that lint found.

    Args:
        rule: Its short name.
        level: `error` fails the lint, `warning` doesn't.
        message: A sentence.
        line: Line in the file, where known.
    """

    rule: str
    level: Literal["error", "warning"]
    message: str
    line: int | None = None


def lint(version: PromptTemplateVersion) -> list[LintFinding]:
    """Checks a template.

    Args:
        version: A template that loads.

    Returns:
        What was found, errors first.
    """
    findings = [
        *_names(version),
        *_order(version),
        *_words(version),
        *_output(version),
    ]
    return sorted(findings, key=lambda f: (f.level != "error", f.line or 0))


def _names(version: PromptTemplateVersion) -> Iterable[LintFinding]:
    declared = {**version.meta.variables, **version.meta.context}
    used: set[str] = set()
    for part in version.parts:
        if part.role == "placeholder":
            used.add(part.name or "")
            continue
        for use in mustache.uses(part.text):
            line = _line(version, part, use.name)
            if use.root in declared:
                used.add(use.root)
                yield from _fields(version, use, line)
            elif not _inner(version, use):
                yield LintFinding(
                    "undeclared", "error",
                    f"{use.root!r} is used and not declared; add it to variables or context", line,
                )  # fmt: skip
    for name in declared:
        if name not in used:
            where = "variables" if name in version.meta.variables else "context"
            yield LintFinding("unused", "error", f"{name!r} is declared in {where} and never used")


def _inner(version: PromptTemplateVersion, use: mustache.Use) -> bool:
    """Whether a name is a field of a section that is open around it."""
    for section in use.inside:
        variable = version.meta.variables.get(section.split(".", 1)[0])
        if variable is None:
            continue
        if use.root == "." or use.root in variable.fields:
            return True
    return use.root == "." and bool(use.inside)


def _fields(
    version: PromptTemplateVersion, use: mustache.Use, line: int | None
) -> Iterable[LintFinding]:
    variable = version.meta.variables.get(use.root)
    if variable is None or "." not in use.name:
        return
    field = use.name.split(".")[1]
    if field not in variable.fields:
        yield LintFinding(
            "undeclared", "error",
            f"{use.name!r}: {use.root!r} declares no field {field!r}", line,
        )  # fmt: skip


def _order(version: PromptTemplateVersion) -> Iterable[LintFinding]:
    """Stable text first: what changes from turn to turn must come after what doesn't."""
    changing = {
        name
        for name in (*version.meta.context, *version.meta.variables)
        if name not in ("tools", "style")
    }
    conversation = any(part.role == "placeholder" for part in version.parts)
    volatile_seen: tuple[str, int | None] | None = None
    for index, part in enumerate(version.parts):
        if part.role == "placeholder":
            continue
        names = [u for u in mustache.uses(part.text) if u.root in changing]
        if part.role == "system" and index == 0 and conversation:
            for use in names:
                if use.root in version.meta.context:
                    yield LintFinding(
                        "volatile-first", "error",
                        f"{use.root!r} changes between turns and stands before the conversation, "
                        "so the provider can reuse nothing after it; move it behind the "
                        "placeholder", _line(version, part, use.name),
                    )  # fmt: skip
        if part.role == "system" and volatile_seen and not conversation:
            yield LintFinding(
                "volatile-first", "warning",
                f"fixed system text stands after {volatile_seen[0]!r}", part.line - 1,
            )  # fmt: skip
        if names and volatile_seen is None:
            volatile_seen = (names[0].root, None)
    if version.parts and version.parts[0].role != "system" and len(version.parts) > 1:
        yield LintFinding("no-system", "warning", "the first message is not a system message")


def _words(version: PromptTemplateVersion) -> Iterable[LintFinding]:
    for part in version.parts:
        match = _STEPS.search(part.text)
        if match:
            yield LintFinding(
                "step-by-step", "error",
                f"{match.group()!r}: reasoning models do this by themselves, and being told to "
                "makes them slower; set the profile's reasoning_effort instead",
                _line(version, part, match.group()),
            )  # fmt: skip
    size = sum(len(part.text) for part in version.parts)
    if size > LONG:
        yield LintFinding("long", "warning", f"the fixed text has {size:,} characters")
    if version.version > 1 and not version.meta.changelog:
        yield LintFinding("changelog", "error", "a version after the first needs a changelog")
    untrusted = [n for n, v in version.meta.variables.items() if v.untrusted]
    untrusted += [n for n, s in version.meta.context.items() if not s.trusted]
    told = any("quoted_data" in part.text for part in version.parts)
    if untrusted and not told:
        yield LintFinding(
            "fence", "error",
            f"{untrusted[0]!r} is put in as data, and no message says what <quoted_data> means; "
            "add {{> data@1}}",
        )  # fmt: skip


def _output(version: PromptTemplateVersion) -> Iterable[LintFinding]:
    if version.meta.output is None:
        return
    if not any(_JSON.search(part.text) for part in version.parts):
        yield LintFinding(
            "output", "error", "`output` is a JSON schema, but no message asks for JSON"
        )
    if version.meta.output.get("type") != "object":
        yield LintFinding("output", "error", "`output` must be a JSON schema of type object")


def _line(version: PromptTemplateVersion, part: TemplateMessage, needle: str) -> int | None:
    """The line of the file where a text stands; None when it came from a partial."""
    lines = version.text.split("\n")
    for number in range(part.line, len(lines) + 1):
        if number > part.line and lines[number - 1].startswith("==="):
            break
        if needle in lines[number - 1]:
            return number
    return None
