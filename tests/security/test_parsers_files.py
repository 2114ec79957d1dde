"""Files that cost more than they weigh: each is refused in one line that names the limit."""

import io
import threading
import zipfile
from pathlib import Path

import pytest

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.reading import converting
from allotrope.graphs.work.sources.reading.loading import load_documents
from allotrope.graphs.work.tables.reading import read_tables


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few seconds of computing, so that no test waits long for a refusal."""
    usual = converting.ConversionLimits

    def small(**limits: float) -> converting.ConversionLimits:
        return usual(
            **{**limits, "cpu_s": 6, "memory_mb": min(limits.get("memory_mb", 1024), 1500)}
        )

    monkeypatch.setattr(converting, "ConversionLimits", small)
    monkeypatch.setattr("allotrope.graphs.work.tables.reading.ConversionLimits", small)


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name, data in files.items():
            made.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


WORD = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'


def docx_of(body: bytes) -> bytes:
    return archive(**{"word__document.xml": WORD + body + b"</w:document>"})


def pdf_of(count: int) -> bytes:
    """A PDF whose stream unpacks to `count` bytes of drawing."""
    import zlib

    stream = zlib.compress(b"BT (a) Tj ET " * (count // 13), 9)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
        b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(stream), stream),
    ]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%s\nendobj\n" % (number, text)
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n"
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start)


DOCUMENTS = {
    "much text in a small docx": ("a.docx", docx_of(b"<w:p/>" * 20_000_000), "unpacks to"),
    "deep docx": ("a.docx", docx_of(b"<w:p>" * 300_000 + b"</w:p>" * 300_000), "a.docx "),
    "many entries": ("a.docx", archive(**{f"f{n}": b"" for n in range(6_000)}), "5000 files"),
    "much drawing in a pdf": ("a.pdf", pdf_of(75_000_000), "a.pdf can't be read"),
    "open comments": ("a.html", b"<!" * 200_000, "a.html"),
    "open tags": ("a.html", b"<a " * 200_000, "a.html"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_costly_documents(name: str) -> None:
    """What is no refusal is an answer in time: the worst of HTML is read by now."""
    file, raw, words = DOCUMENTS[name]
    assert len(raw) < 1_000_000
    told = words if file == "a.html" or name == "deep docx" else ""
    try:
        load_documents(raw, name=file)
    except InputError as exc:
        told = str(exc)
    assert words in told or "holds no text" in told
    assert "\n" not in told


def test_tags_that_are_never_closed_cost_a_line() -> None:
    """60 KB of this took 40 s: each end tag looked at every open one."""
    raw = b"<i>" * 20_000 + b"</b>x" * 100_000
    (document,) = load_documents(raw, name="a.html")
    assert document.page_content.count("x") == 100_000


def read(folder: Path, name: str, raw: bytes) -> object:
    (folder / name).write_bytes(raw)
    return read_tables([str(folder / name)], roots=[folder], max_bytes=10**7, folder=folder / "d")


def test_a_small_parquet_of_gigabytes(tmp_path: Path) -> None:
    """One long text 11,000 times: a megabyte in the file, 11 GB as a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.DictionaryArray.from_arrays(
        pa.array([0] * 11_000, pa.int32()), pa.array(["x" * 1_000_000])
    )
    pq.write_table(pa.table({"a": values}), tmp_path / "made.parquet", store_schema=False)
    raw = (tmp_path / "made.parquet").read_bytes()
    assert len(raw) < 1_500_000
    with pytest.raises(InputError, match=r"memory|computing|unpacks") as refused:
        read(tmp_path, "a.parquet", raw)
    assert "\n" not in str(refused.value)


def test_a_parquet_that_says_it_is_large(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"a": pa.nulls(120_000_000, pa.int8())})
    pq.write_table(table, tmp_path / "made.parquet")
    with pytest.raises(InputError, match="120,000,000 cells"):
        read(tmp_path, "a.parquet", (tmp_path / "made.parquet").read_bytes())


def test_a_small_workbook_of_gigabytes(tmp_path: Path) -> None:
    raw = archive(**{"xl__worksheets__sheet1.xml": bytes(600_000_000)})
    with pytest.raises(InputError, match="500 MB"):
        read(tmp_path, "a.xlsx", raw)


def test_deep_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nested too deeply|no JSON"):
        read(tmp_path, "a.json", b"[" * 500_000 + b"]" * 500_000)


def test_others_wait_their_turn_and_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = threading.BoundedSemaphore(1)
    busy.acquire()
    monkeypatch.setattr(converting, "_turns", busy)
    monkeypatch.setattr(converting, "WAIT_S", 0.05)
    with pytest.raises(InputError, match="other files are being read"):
        load_documents(b"<p>x", name="a.html")
    busy.release()
    assert load_documents(b"<p>x", name="a.html")[0].page_content == "x"
