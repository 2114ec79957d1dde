"""Documents from PDF, HTML, DOCX, Markdown, CSV and text files.

PDF, HTML and DOCX are parsed in the sandbox (`converting`), CSV and text by langchain-community's
loaders, which get them in UTF-8.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.reading.community import community
from allotrope.graphs.work.sources.reading.converting import documents_of
from allotrope.graphs.work.sources.reading.files import decode
from allotrope.support.extras import install
from allotrope.support.fencing import visible

if TYPE_CHECKING:
    from langchain_core.documents import Document

SUFFIXES = (".csv", ".docx", ".htm", ".html", ".json", ".markdown", ".md", ".pdf", ".rst", ".txt")
"""What can be read; other suffixes are tried as text."""


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
    if kind in (".pdf", ".docx", ".html"):
        found = _converted(raw, kind, name)
    else:
        with tempfile.TemporaryDirectory(prefix="allotrope-") as folder:
            path = Path(folder) / f"document{kind}"
            path.write_bytes(decode(raw, name=name).encode("utf-8", errors="replace"))
            found = _run(path, kind, name)
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


def _converted(raw: bytes, kind: str, name: str) -> "list[Document]":
    """What is parsed in the sandbox."""
    from langchain_core.documents import Document

    if kind == ".html":
        raw = decode(raw, name=name).encode("utf-8", errors="replace")
    documents = []
    for one in documents_of(raw, kind, name=name):
        text = one.pop("text")
        if kind == ".html" and text and one["title"]:
            text = f"{one['title']}\n{text}"
        documents.append(Document(text, metadata=one))
    return documents


def _run(path: Path, kind: str, name: str) -> "list[Document]":
    loaders = community("document_loaders")
    try:
        loader: Any
        if kind == ".csv":
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
