"""`allotrope trust`: lets a folder's `.env` set what sends keys or runs code."""

from pathlib import Path
from typing import Annotated

import typer

from allotrope.cli.output import emit

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def trust(
    folder: Annotated[
        Path, typer.Argument(help="The folder with the .env file.", metavar="FOLDER")
    ] = Path(),
    no_longer: Annotated[bool, typer.Option("--revoke", help="Don't trust it any longer.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show what is trusted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Trust a folder's .env file as it stands now; once it changes, you are asked again."""
    from allotrope.exceptions import InputError
    from allotrope.settings.env_file import read_env_file, set_trust, trusted_files
    from allotrope.settings.root import guarded_lines

    if listing:
        rows = [
            {"file": name, "unchanged": read_env_file(Path(name)).fingerprint == mark}
            for name, mark in sorted(trusted_files().items())
        ]
        if as_json:
            emit({"trusted": rows})
        for row in () if as_json else rows:
            print(
                row["file"] if row["unchanged"] else f"{row['file']} (changed since: not trusted)"
            )
        return
    file = folder / ".env" if folder.is_dir() else folder
    if not file.is_file():
        raise InputError(
            f"{file.absolute()} isn't there.", hint="Name a folder that has a .env file."
        )
    read = read_env_file(file)
    changed = set_trust(read, trusted=not no_longer)
    guarded = guarded_lines(read.lines(expand=False))
    if as_json:
        lines = [{"line": line.line, "name": line.name} for line in guarded]
        emit({"file": str(file.resolve()), "trusted": not no_longer, "changed": changed,
                 "guarded": lines})  # fmt: skip
        return
    if no_longer:
        print(f"{file.absolute()} {'is not trusted any longer' if changed else 'was not trusted'}.")
        return
    print(f"{file.absolute()} is trusted as it stands now.")
    for line in guarded:
        print(f"  line {line.line}: {line.name}")
