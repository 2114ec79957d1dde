"""Documents from PDF, HTML, DOCX, Markdown, CSV and text files, by langchain-community's loaders.

Files are made safe before a loader sees them: size, zip bombs, encodings, and what HTML hides.
"""

import html
import io
import logging
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import InputError
from allotrope.extras import install
from allotrope.graphs.sources.community import community
from allotrope.graphs.sources.files import decode
from allotrope.graphs.sources.html import visible_text
from allotrope.prompts.fencing import visible

if TYPE_CHECKING:
    from langchain_core.documents import Document

SUFFIXES = (".csv", ".docx", ".htm", ".html", ".json", ".markdown", ".md", ".pdf", ".rst", ".txt")
"""What can be read; other suffixes are tried as text."""
MAX_UNPACKED = 200_000_000
"""Bytes that a DOCX may unpack to."""
MAX_PAGES = 2000


def load_documents(raw: bytes, *, name: str, source: str | None = None) -> "list[Document]":
    """The documents of one file.

    Args:
        raw: The bytes of the file.
        name: File name; its suffix says what it is.
        source: What to write into each document's `source`; default: the name.

    Returns:
        A document per PDF page, per CSV row, or one for the whole; with `source`, and `page`
        (counted from 1) or `row` where there is one.

    Raises:
        InputError: The file is broken, binary, encrypted, or holds no text.
    """
    kind = _kind(raw, name)
    with tempfile.TemporaryDirectory(prefix="allotrope-") as folder:
        path = Path(folder) / f"document{kind}"
        path.write_bytes(_safe(raw, kind, name))
        found: list[Document] = _run(path, kind, name)
    documents = []
    for document in found:
        text = visible(document.page_content).strip()
        if not text:
            continue
        document.page_content = text
        facts: dict[str, Any] = {"source": source or name}
        if "page" in document.metadata:
            facts["page"] = int(document.metadata["page"]) + 1
        if "row" in document.metadata:
            facts["row"] = int(document.metadata["row"]) + 1
        if title := document.metadata.get("title"):
            facts["title"] = str(title)
        document.metadata = facts
        documents.append(document)
    if not documents:
        raise InputError(
            f"{name} holds no text.", hint="A scanned PDF needs text recognition first."
        )
    return documents


def pdf_pages(raw: bytes, *, name: str) -> list[str]:
    """The text of each page of a PDF that has any.

    Raises:
        InputError: It is broken, encrypted, or has no text.
    """
    return [document.page_content for document in load_documents(raw, name=_as(name, ".pdf"))]


def docx_text(raw: bytes, *, name: str) -> str:
    """The text of a DOCX.

    Raises:
        InputError: It is broken or has no text.
    """
    return load_documents(raw, name=_as(name, ".docx"))[0].page_content


def _as(name: str, suffix: str) -> str:
    return name if name.lower().endswith(suffix) else f"{name}{suffix}"


def _kind(raw: bytes, name: str) -> str:
    if raw.startswith(b"%PDF-"):
        return ".pdf"
    kind = Path(name).suffix.lower()
    if kind in (".htm", ".xhtml"):
        return ".html"
    return kind if kind in SUFFIXES else ".txt"


def _safe(raw: bytes, kind: str, name: str) -> bytes:
    """What the loader is given: checked, and text in UTF-8."""
    if kind == ".pdf":
        return raw
    if kind == ".docx":
        try:
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
        except zipfile.BadZipFile as exc:
            raise InputError(f"{name} is no DOCX file, or it is broken.") from exc
        if unpacked > MAX_UNPACKED:
            raise InputError(f"{name} unpacks to {unpacked / 1e6:.0f} MB; that isn't read.")
        return raw
    text = decode(raw, name=name)
    if kind == ".html":
        title, body = visible_text(text)
        lines = "".join(f"<p>{html.escape(line)}</p>\n" for line in body.split("\n"))
        text = (
            f"<html><head><title>{html.escape(title)}</title></head>\n<body>{lines}</body></html>"
        )
    return text.encode("utf-8", errors="replace")


def _run(path: Path, kind: str, name: str) -> "list[Document]":
    loaders = community("document_loaders")
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it reports each flaw of a PDF it mends
    try:
        if kind == ".pdf":
            documents = []
            for document in loaders.PyPDFLoader(str(path)).lazy_load():
                documents.append(document)
                if len(documents) >= MAX_PAGES:
                    break
            return documents
        loader: Any
        if kind == ".docx":
            loader = loaders.Docx2txtLoader(str(path))
        elif kind == ".html":
            loader = loaders.BSHTMLLoader(str(path), open_encoding="utf-8")
        elif kind == ".csv":
            loader = loaders.CSVLoader(str(path), encoding="utf-8", csv_args=_dialect(path))
        else:
            loader = loaders.TextLoader(str(path), encoding="utf-8")
        return list(loader.load())
    except ImportError as exc:
        raise InputError(
            f"Reading {name} needs a library that isn't installed: {exc.name}.",
            hint=f"Install it with: {install('research')}",
        ) from exc
    except Exception as exc:  # each loader's library has its own errors for broken files
        raise InputError(f"{name} can't be read: it is broken or protected.") from exc


def _dialect(path: Path) -> dict[str, Any]:
    """The separator that the header line has most of; csv.Sniffer gives up on broken lines."""
    with path.open(encoding="utf-8") as file:
        header = file.readline(65_536)
    return {"delimiter": max(",;\t|", key=header.count)}
