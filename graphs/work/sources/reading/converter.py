"""PDF, DOCX and HTML to text; its text is sent into the sandbox and runs there alone."""

import json
import os
from typing import IO, Any

MAX_UNPACKED = 50_000_000
"""Bytes that a DOCX may unpack to."""
MAX_ENTRIES = 5_000
MAX_PAGES = 2_000
MAX_CHARS = 20_000_000
"""Characters of text that are taken from one file."""

if "Refused" not in globals():  # it stands above this text in the sandbox

    class Refused(Exception):
        """What a person should read; the file's name is put before it."""


def convert(source: IO[bytes], out: IO[bytes], facts: dict[str, Any]) -> int:
    """Writes the documents of a file as JSON; gives their number."""
    reader = {".pdf": pdf, ".docx": docx, ".html": page}[facts["kind"]]
    documents = reader(source)
    out.write(json.dumps(documents).encode("utf-8", "surrogatepass"))
    return len(documents)


def _cut(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    left, kept = MAX_CHARS, []
    for document in documents:
        document["text"] = document["text"][:left].encode("utf-8", "replace").decode()
        left -= len(document["text"])
        kept.append(document)
        if left <= 0:
            break
    return kept


def pdf(source: IO[bytes]) -> list[dict[str, Any]]:
    """A document a page."""
    import logging

    import pypdf

    logging.disable(logging.CRITICAL)  # it reports each flaw of a PDF that it mends
    try:
        reader = pypdf.PdfReader(source)
        title = str(reader.metadata.title or "") if reader.metadata else ""
        found = []
        for number, one in enumerate(reader.pages):
            if number >= MAX_PAGES:
                break
            found.append({"text": one.extract_text(), "page": number, "title": title})
    except (MemoryError, RecursionError):
        raise
    except Exception as exc:  # its errors for broken files are many
        raise Refused("can't be read: it is broken or protected.") from exc
    return _cut(found)


def docx(source: IO[bytes]) -> list[dict[str, Any]]:
    """One document; sizes are looked at before anything is unpacked."""
    import zipfile

    import docx2txt

    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
    except Exception as exc:  # zipfile has several errors for broken archives
        raise Refused("is no DOCX file, or it is broken.") from exc
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED or len(entries) > MAX_ENTRIES:
        raise Refused(
            f"unpacks to {unpacked / 1e6:.0f} MB in {len(entries)} files; "
            f"{MAX_UNPACKED / 1e6:.0f} MB in {MAX_ENTRIES} files is the limit."
        )
    source.seek(0)
    try:
        text = docx2txt.process(source)
    except (MemoryError, RecursionError):
        raise
    except Exception as exc:  # as above
        raise Refused("can't be read: it is broken or protected.") from exc
    return _cut([{"text": text}])


def page(source: IO[bytes]) -> list[dict[str, Any]]:
    """The visible text of an HTML page."""
    if os.path.exists("visible.py"):
        from visible import visible_text  # type: ignore[import-not-found]
    else:
        from allotrope.graphs.work.sources.reading.html import visible_text

    title, body = visible_text(source.read().decode("utf-8", "replace"))
    return _cut([{"text": body, "title": title}])
