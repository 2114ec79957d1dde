"""The sources that a question names: finding them in its text, and reading them."""

import re
from pathlib import Path

from allotrope.exceptions import AllotropeError, InputError
from allotrope.graphs.work.sources.index import SourceDocument
from allotrope.graphs.work.sources.naming import files_named
from allotrope.graphs.work.sources.reading.files import allowed_file, inside
from allotrope.graphs.work.sources.reading.loading import SUFFIXES
from allotrope.graphs.work.sources.reading.web import fetch
from allotrope.settings import Settings

MAX_FILES = 200
_URL = re.compile(r"https?://[^\s<>\"'`]+", re.IGNORECASE)


def sources_in(text: str) -> list[str]:
    """The addresses, files and folders that a text names, in order.

    A quoted name counts only when it looks like a path: with a slash or a known suffix.
    """
    urls = [url.rstrip(".,;:!?)]") for url in _URL.findall(text)]
    rest = _URL.sub(" ", text)
    paths = []
    for name, quoted in files_named(rest, SUFFIXES, folders=True, any_quoted=True):
        if not quoted or "/" in name or name.lower().endswith(SUFFIXES):
            paths.append(name)
    return list(dict.fromkeys([*urls, *paths]))


def read_sources(names: list[str], settings: Settings) -> tuple[list[SourceDocument], list[str]]:
    """Reads what the user named; blocks.

    Args:
        names: Files, folders and addresses.
        settings: Folders and limits.

    Returns:
        The sources, and a sentence for each that can't be read.
    """
    limits = settings.agents
    most = limits.max_file_mb * 1_000_000
    found: list[SourceDocument] = []
    problems: list[str] = []
    for name in names:
        try:
            if "://" in name:
                page = fetch(
                    name,
                    max_bytes=limits.max_download_mb * 1_000_000,
                    timeout_s=limits.download_timeout_s,
                    private_hosts=limits.private_hosts,
                )
                found.append(SourceDocument(page.url, page.body, _kind(page.media_type)))
                continue
            path = inside(name, roots=limits.file_roots)
            files = _files_below(path) if path.is_dir() else [path]
            if not files:
                raise InputError(f"The folder {name} has no documents that can be read.")
            for file in files:
                good = allowed_file(file, roots=limits.file_roots, max_bytes=most)
                label = name if file == path else str(Path(name) / file.relative_to(path))
                found.append(SourceDocument(label, good.read_bytes(), file.name))
        except AllotropeError as exc:
            problems.append(str(exc))
    return found, problems


def _files_below(folder: Path) -> list[Path]:
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if len(files) > MAX_FILES:
        raise InputError(
            f"The folder has {len(files)} documents; {MAX_FILES} is the limit.",
            hint="Name a smaller folder.",
        )
    return files


def _kind(media_type: str) -> str:
    for part, name in (("pdf", "page.pdf"), ("wordprocessingml", "page.docx"), ("csv", "page.csv")):
        if part in media_type:
            return name
    return "page.html" if "html" in media_type else "page.txt"
