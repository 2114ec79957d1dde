"""Changing what is live: new drafts, promotion, roll-back."""

import re
from collections.abc import Iterable

from allotrope.exceptions import PromptError
from allotrope.prompts.library import LATEST, PromptLibrary
from allotrope.prompts.schema import END, NAME
from allotrope.prompts.stores.sources import LabelChange, Source, now
from allotrope.prompts.template import PromptTemplateVersion

OWN_FROM = 1001
"""First number of own versions of a packaged template, so that an update never collides."""

_LABEL = re.compile(r"^[a-z][a-z0-9_-]*$")
_SKELETON = """---
name: {name}
version: {version}
description: What the prompt is for, in one sentence.
variables:
  messages: {{type: messages, description: The conversation.}}
changelog: First version.
---
=== system
Who the model is, the goal, the constraints, and what the answer looks like.
=== placeholder messages
{end}
"""


def writable(library: PromptLibrary) -> Source:
    """The source that own templates go into: the database, else the folder.

    Raises:
        PromptError: Only the packaged templates are there.
    """
    if not library.sources[-1].writable:
        raise PromptError(
            "There is no place for own prompts.",
            hint="Set ALLOTROPE_PROMPTS__FOLDER to a folder (or ALLOTROPE_PROMPTS__DATABASE_URL).",
        )
    return library.sources[-1]


def next_version(library: PromptLibrary, name: str) -> int:
    """The number of the next own version of a template."""
    versions = library.snapshot.versions.get(name, ())
    if not versions:
        return 1
    packaged = {source.name for source in library.sources if not source.writable}
    origins = [library.snapshot.origins.get(f"{name}@{version}") for version in versions]
    if any(origin in packaged for origin in origins):
        return max(OWN_FROM, versions[-1] + 1)
    return versions[-1] + 1


def new_draft(library: PromptLibrary, name: str, *, base: str | None = None) -> tuple[str, str]:
    """Writes a draft: a copy of a version under the next number, or a skeleton.

    Args:
        library: Its last source is written to.
        name: The template.
        base: The version to copy, `name@version`; default: the live one, where there is one.

    Returns:
        The draft's `name@version`, and where it stands.

    Raises:
        PromptError: The name can't be used, or there is no place to write to.
    """
    if not re.match(NAME, name) or name.startswith("_"):
        raise PromptError(
            f"{name!r} is no name for a prompt.", hint="Use a-z, 0-9, - and _, such as my.prompt."
        )
    source = writable(library)
    version = next_version(library, name)
    if base is None and name in library.snapshot.versions:
        base = library.get(name).ref
    if base is None:
        text = _SKELETON.format(name=name, version=version, end=END)
    else:
        text = _renumbered(library.get(base), name, version)
    return f"{name}@{version}", source.write(f"{name}@{version}", text)


def _renumbered(base: PromptTemplateVersion, name: str, version: int) -> str:
    head, body = base.text.split("\n---\n", 1)
    lines = [
        f"name: {name}" if line.startswith("name:")
        else f"version: {version}" if line.startswith("version:")
        else line
        for line in _without(head.split("\n"), "changelog")
    ]  # fmt: skip
    lines.append(f'changelog: "From {base.ref}: say what changes and why."')
    return "\n".join(lines) + "\n---\n" + body


def _without(lines: Iterable[str], key: str) -> Iterable[str]:
    """The lines of a mapping without one top-level key and what is indented under it."""
    inside = False
    for line in lines:
        inside = line.startswith(f"{key}:") or (inside and line[:1] in (" ", "\t"))
        if not inside:
            yield line


def _change(
    library: PromptLibrary, version: PromptTemplateVersion, label: str, by: str
) -> LabelChange:
    current = library.snapshot.labels.get((label, version.name))
    if current is None and label == "production":
        versions = library.snapshot.versions[version.name]
        current = versions[0] if len(versions) == 1 else None
    return LabelChange(
        at=now(), label=label, name=version.name, version=version.version, was=current, by=by
    )


def promote(library: PromptLibrary, ref: str, *, label: str = "production") -> LabelChange:
    """Points a label to a version and locks the version for good.

    Args:
        library: Its last source keeps the label.
        ref: `name@version`.
        label: Which label.

    Raises:
        PromptError: No such version, it has lint errors, or the label can't be used.
    """
    from allotrope.prompts.lint import lint

    if "@" not in ref:
        raise PromptError(f"{ref!r} names no version.", hint=f"Say which, such as {ref}@2.")
    if not _LABEL.match(label) or label == LATEST:
        raise PromptError(f"{label!r} can't be a label.", hint="Use a-z, 0-9, - and _.")
    version = library.get(ref)
    if ref in library.problems():
        raise PromptError(library.problems()[ref])
    errors = [finding for finding in lint(version) if finding.level == "error"]
    if errors:
        told = "; ".join(finding.message for finding in errors)
        raise PromptError(f"{ref} has lint errors: {told}.")
    change = _change(library, version, label, "promote")
    writable(library).label(change, digest=version.hash)
    library.refresh()
    return change


def rollback(library: PromptLibrary, name: str, *, label: str = "production") -> LabelChange:
    """Points a label back to the version before the last promotion that still holds.

    Called again, it goes one promotion further back.

    Raises:
        PromptError: There is nothing to go back to.
    """
    source = writable(library)
    steps: list[LabelChange] = []
    for entry in source.read(None).labels.history:
        if (entry.label, entry.name) != (label, name):
            continue
        if entry.by == "rollback":
            steps = steps[:-1]
        else:
            steps.append(entry)
    if not steps or steps[-1].was is None:
        raise PromptError(f"{name!r} has no earlier version under the label {label!r}.")
    version = library.get(f"{name}@{steps[-1].was}")
    change = _change(library, version, label, "rollback")
    source.label(change, digest=version.hash)
    library.refresh()
    return change
