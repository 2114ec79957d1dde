"""`allotrope prompts`: look at templates, compare and check them, and decide which one is live."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import emit

if TYPE_CHECKING:
    from allotrope.prompts.library import PromptLibrary
    from allotrope.prompts.stores.sources import LabelChange
    from allotrope.prompts.template import PromptTemplateVersion

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="List, render, compare and promote prompt templates.",
)

Ref = Annotated[str, typer.Argument(help="NAME (the live version) or NAME@VERSION.", metavar="REF")]
Name = Annotated[str, typer.Argument(help="The template's name.", metavar="NAME")]
Label = Annotated[str, typer.Option("--label", help="Which label.", metavar="LABEL")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@contextmanager
def _library() -> "Iterator[PromptLibrary]":
    from allotrope.prompts import open_library
    from allotrope.settings import load_settings

    yield open_library(load_settings().with_section("prompts", reload_s=None))


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All templates with their versions and labels, and what is wrong with any file."""
    with _library() as library:
        snapshot = library.snapshot
        rows = []
        for name, versions in snapshot.versions.items():
            own = {label: v for (label, n), v in sorted(snapshot.labels.items()) if n == name}
            described = own.get("production", versions[-1])  # with none, the one to promote
            rows.append(
                {
                    "name": name,
                    "versions": list(versions),
                    "labels": own,
                    "description": snapshot.templates[f"{name}@{described}"].meta.description,
                }
            )
        problems = dict(snapshot.problems)
    if as_json:
        emit({"prompts": rows, "problems": problems})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "versions", "labels", "description")
    for row in rows:
        labels: Any = row["labels"]
        table.add_row(
            str(row["name"]),
            " ".join(str(v) for v in snapshot.versions[str(row["name"])]),
            ", ".join(f"{label} → {version}" for label, version in labels.items()),
            str(row["description"]),
        )
    Console().print(table)
    for problem in problems.values():
        typer.echo(f"allotrope: {problem}", err=True)


@app.command()
def show(ref: Ref, label: Label = "production", as_json: Json = False) -> None:
    """A template's file, its hash and what it needs."""
    with _library() as library:
        version = library.get(ref, label)
    if as_json:
        emit({**_about(version), "text": version.text})
        return
    typer.echo(f"# {version.ref}  sha256 {version.hash}\n# {version.origin}\n")
    typer.echo(version.text.rstrip())


@app.command()
def render(
    ref: Ref,
    values: Annotated[
        list[str] | None,
        typer.Option("--var", "-v", help="NAME=TEXT, or NAME=@FILE, or NAME:=JSON.", metavar="SET"),
    ] = None,
    label: Label = "production",
    as_json: Json = False,
) -> None:
    """The messages a model would get, with the values given."""
    with _library() as library:
        version = library.get(ref, label)
        messages = version.render_untrusted(_values(values or [], version))
    if as_json:
        emit(
            {
                "ref": version.ref,
                "messages": [{"role": m.type, "content": m.text} for m in messages],
            }
        )
        return
    for message in messages:
        typer.echo(typer.style(f"── {message.type} ──", bold=True))
        typer.echo(message.text)


@app.command()
def diff(
    old: Ref,
    new: Annotated[str, typer.Argument(help="The other one.", metavar="REF")],
    as_json: Json = False,
) -> None:
    """What changed from one version to another."""
    import difflib

    with _library() as library:
        first, second = library.get(old), library.get(new)
    lines = list(
        difflib.unified_diff(
            first.text.splitlines(), second.text.splitlines(), first.ref, second.ref, lineterm=""
        )
    )
    if as_json:
        emit(
            {"old": first.ref, "new": second.ref, "same": first.hash == second.hash, "diff": lines}
        )
        return
    colours = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}
    for line in lines:
        typer.secho(line, fg=colours.get(line[:1]))
    if not lines:
        typer.echo(f"{first.ref} and {second.ref} are the same.")


@app.command()
def lint(
    refs: Annotated[
        list[str] | None, typer.Argument(help="Which; default: all.", metavar="[REF]...")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check templates; exit code 1 when there are errors."""
    from allotrope.prompts.lint import lint as check

    with _library() as library:
        snapshot = library.snapshot
        versions = (
            [library.get(ref) for ref in refs]
            if refs
            else [snapshot.templates[ref] for ref in sorted(snapshot.templates)]
        )
        problems = {} if refs else dict(snapshot.problems)
    found = [(version, finding) for version in versions for finding in check(version)]
    failed = bool(problems) or any(finding.level == "error" for _, finding in found)
    if as_json:
        from dataclasses import asdict

        rows = [{"ref": version.ref, **asdict(finding)} for version, finding in found]
        emit({"checked": len(versions), "findings": rows, "problems": problems})
    else:
        for problem in problems.values():
            typer.secho(f"error    {problem}", fg=typer.colors.RED)
        for version, finding in found:
            place = version.origin + (f", line {finding.line}" if finding.line else "")
            colour = typer.colors.RED if finding.level == "error" else typer.colors.YELLOW
            typer.secho(f"{finding.level:8} {place}: {finding.message} [{finding.rule}]", fg=colour)
        typer.echo(f"{len(versions)} templates checked, {len(found) + len(problems)} findings.")
    if failed:
        raise typer.Exit(1)


@app.command()
def new(
    name: Name,
    base: Annotated[
        str | None, typer.Option("--from", help="Version to copy; default: the live one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a draft into your folder (or database): a copy under the next number."""
    from allotrope.prompts.manage import new_draft

    with _library() as library:
        ref, where = new_draft(library, name, base=base)
    if as_json:
        emit({"ref": ref, "path": where})
    else:
        typer.echo(f"{ref} is a draft at {where}. When it is good: allotrope prompts promote {ref}")


@app.command()
def promote(
    ref: Annotated[str, typer.Argument(help="NAME@VERSION.", metavar="REF")],
    label: Label = "production",
    as_json: Json = False,
) -> None:
    """Make a version live under a label; from then on its text can't change."""
    from allotrope.prompts.manage import promote as move

    with _library() as library:
        _moved(move(library, ref, label=label), as_json)


@app.command()
def rollback(name: Name, label: Label = "production", as_json: Json = False) -> None:
    """Go back to the version that was live before the last promotion."""
    from allotrope.prompts.manage import rollback as back

    with _library() as library:
        _moved(back(library, name, label=label), as_json)


@app.command("export")
def export_(ref: Ref, label: Label = "production") -> None:
    """Print a template as a LangSmith hub manifest (JSON)."""
    from allotrope.prompts.stores.hub import to_manifest

    with _library() as library:
        emit(to_manifest(library.get(ref, label)))


@app.command("import")
def import_(
    name: Name,
    file: Annotated[Path, typer.Argument(help="A manifest, JSON.", metavar="FILE")],
    as_json: Json = False,
) -> None:
    """Take over a LangSmith hub manifest as a draft."""
    from allotrope.exceptions import PromptError
    from allotrope.prompts.manage import next_version, writable
    from allotrope.prompts.stores.hub import from_manifest, load_manifest

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise PromptError(f"{file} can't be read: {exc}.") from exc
    with _library() as library:
        version = next_version(library, name)
        manifest = load_manifest(text, origin=str(file))
        made = from_manifest(manifest, name=name, version=version, origin=str(file))
        where = writable(library).write(f"{name}@{version}", made)
    if as_json:
        emit({"ref": f"{name}@{version}", "path": where})
    else:
        typer.echo(f"{name}@{version} is a draft at {where}.")


def _moved(change: "LabelChange", as_json: bool) -> None:
    if as_json:
        emit(change.model_dump(mode="json"))
        return
    was = "" if change.was is None else f" (was {change.was})"
    typer.echo(f"{change.label} → {change.name}@{change.version}{was}")


def _about(version: "PromptTemplateVersion") -> dict[str, Any]:
    return {
        "ref": version.ref,
        "hash": version.hash,
        "origin": version.origin,
        "partials": list(version.partials),
        "front_matter": version.meta.model_dump(mode="json"),
    }


def _values(given: list[str], version: "PromptTemplateVersion") -> dict[str, Any]:
    """`name=text`, `name=@file` and `name:=json`; the turn's messages default to a short one."""
    from allotrope.exceptions import PromptError

    values: dict[str, Any] = {
        name: [("human", "(the user's turn)")]
        for name, variable in version.meta.variables.items()
        if variable.type == "messages" and variable.required
    }
    for item in given:
        name, found, value = item.partition("=")
        if not found:
            raise PromptError(f"--var {item!r} has no =.", hint="Write NAME=TEXT.")
        try:
            if name.endswith(":"):
                values[name[:-1]] = json.loads(value)
            elif value.startswith("@"):
                values[name] = Path(value[1:]).read_text(encoding="utf-8")
            else:
                values[name] = value
        except (OSError, ValueError) as exc:
            raise PromptError(f"--var {item!r} can't be used: {exc}.") from exc
    return values
