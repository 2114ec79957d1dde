"""A loopback web server whose answers a test writes, and real files made on the spot."""

import gzip
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest


class Site:
    """A server on loopback; `pages` maps a path to (status, headers, body)."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.seen.append((self.headers["Host"], self.path))
                status, headers, body = site.pages.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.path == "/slow":
                    for _ in range(50):
                        try:
                            self.wfile.write(b"x")
                            self.wfile.flush()
                        except OSError:
                            return
                        time.sleep(0.1)
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def put(self, path: str, body: bytes, kind: str = "text/html", **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (200, {"Content-Type": kind, **named}, body)
        return self.url + path

    def redirect(self, path: str, to: str) -> str:
        self.pages[path] = (302, {"Location": to}, b"")
        return self.url + path

    def bomb(self, path: str, size: int) -> str:
        return self.put(path, gzip.compress(bytes(size)), "text/plain", Content_Encoding="gzip")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.close()


def pdf(*pages: str) -> bytes:
    """A real PDF with one text a page."""
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with PdfPages(buffer) as file:
        for page in pages:
            figure = Figure(figsize=(8, 3))
            figure.text(0.05, 0.5, page)
            file.savefig(figure)
    return buffer.getvalue()


def pdf_table(rows: list[list[str]]) -> bytes:
    """A PDF with a table, each cell a text at its place."""
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with PdfPages(buffer) as file:
        figure = Figure(figsize=(8, 3))
        for y, row in enumerate(rows):
            for x, cell in enumerate(row):
                figure.text(0.1 + 0.3 * x, 0.8 - 0.2 * y, cell)
        file.savefig(figure)
    return buffer.getvalue()


def docx(
    *paragraphs: str,
    table: list[list[str]] | None = None,
    note: str = "",
    header: str = "",
) -> bytes:
    """A real DOCX, by hand: the parts Word needs, with a table, a footnote and a header."""
    space = "http://schemas.openxmlformats.org"
    kind = f"{space}/officeDocument/2006/relationships"
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    if note:
        body += '<w:p><w:r><w:t>See</w:t><w:footnoteReference w:id="2"/></w:r></w:p>'
    rows = (
        "".join(f"<w:tc><w:p><w:r><w:t>{c}</w:t></w:r></w:p></w:tc>" for c in row)
        for row in table or []
    )
    if table:
        body += f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"
    names = f'xmlns:w="{space}/wordprocessingml/2006/main"'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{space}/package/2006/content-types"><Default '
        'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{main}.document.main+xml"/>'
        f'<Override PartName="/word/footnotes.xml" ContentType="{main}.footnotes+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}/package/2006/relationships"><Relationship '
        f'Id="r" Type="{kind}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f"<w:document {names}><w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": "<Relationships "
        f'xmlns="{space}/package/2006/relationships">'
        f'<Relationship Id="f" Type="{kind}/footnotes" Target="footnotes.xml"/></Relationships>',
        "word/footnotes.xml": f'<w:footnotes {names}><w:footnote w:id="2"><w:p><w:r><w:t>{note}'
        "</w:t></w:r></w:p></w:footnote></w:footnotes>",
        "word/header1.xml": f"<w:hdr {names}><w:p><w:r><w:t>{header}</w:t></w:r></w:p></w:hdr>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def zip_bomb(size: int) -> bytes:
    """A DOCX that unpacks to `size` bytes of zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(size))
    return buffer.getvalue()


@pytest.fixture
def papers() -> SimpleNamespace:
    return SimpleNamespace(pdf=pdf, pdf_table=pdf_table, docx=docx, zip_bomb=zip_bomb)
