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
            text = one.extract_text() + _tables(one)
            found.append({"text": text, "page": number, "title": title})
    except (MemoryError, RecursionError):
        raise
    except Exception as exc:  # its errors for broken files are many
        raise Refused("can't be read: it is broken or protected.") from exc
    return _cut(found)


def _tables(page: Any) -> str:
    """The rows of a page's tables, cells apart: plain extraction runs them together.

    A table is two or more lines in a row, of as many cells each, that have figures.
    """
    import re

    try:
        layout = page.extract_text(extraction_mode="layout")
    except (MemoryError, RecursionError):
        raise
    except Exception:  # noqa: BLE001 # pages without fonts: the plain text is all there is
        return ""
    tables: list[list[list[str]]] = [[]]
    for line in layout.split("\n"):
        cells = re.split(r" {2,}", line.strip())
        if len(cells) > 1 and len(cells) == len((tables[-1] or [cells])[0]):
            tables[-1].append(cells)
        elif line.strip():
            tables.append([cells] if len(cells) > 1 else [])
    found = [
        one
        for one in tables
        if len(one) > 1 and any(any(map(str.isdigit, cell)) for row in one for cell in row)
    ]
    rows = ["| " + " | ".join(row) + " |" for one in found for row in one]
    return "\n\n" + "\n".join(rows) if rows else ""


def docx(source: IO[bytes]) -> list[dict[str, Any]]:
    """One document with its tables, footnotes, headers and footers; sizes are looked at first."""
    import io
    import re
    import zipfile

    import mammoth

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
        raw = io.BytesIO(source.read())  # the library asks a file for its name, which ours hasn't
        made = mammoth.convert_to_html(
            raw, convert_image=mammoth.images.img_element(lambda image: {"src": ""})
        ).value
        # `[1]` would look like a mark of a report
        made = re.sub(r"<sup><a [^<>]{0,80}>\[(\d{1,5})\]</a></sup>", r" (note \1)", made)
        text = "\n\n".join(filter(None, [_visible(made.replace("↑", ""))[1], *_margins(raw)]))
    except (MemoryError, RecursionError):
        raise
    except Exception as exc:  # as above
        raise Refused("can't be read: it is broken or protected.") from exc
    return _cut([{"text": text}])


def _margins(source: IO[bytes]) -> list[str]:
    """The texts of headers and footers."""
    import zipfile
    from xml.etree import ElementTree

    texts = []
    with zipfile.ZipFile(source) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith(("word/header", "word/footer")) and name.endswith(".xml"):
                root = ElementTree.fromstring(archive.read(name))  # noqa: S314 # in the sandbox
                texts.append(" ".join(part.strip() for part in root.itertext() if part.strip()))
    return list(dict.fromkeys(texts))


def page(source: IO[bytes]) -> list[dict[str, Any]]:
    """The visible text of an HTML page."""
    title, body = _visible(source.read().decode("utf-8", "replace"))
    return _cut([{"text": body, "title": title}])


def _visible(page: str) -> tuple[str, str]:
    if os.path.exists("visible.py"):
        from visible import visible_text  # type: ignore[import-not-found]
    else:
        from allotrope.graphs.work.sources.reading.html import visible_text

    title, body = visible_text(page)
    return str(title), str(body)
