"""Real files of each kind become documents; broken ones a sentence."""

import pytest

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.reading.loading import load_documents


def texts(documents):
    return [document.page_content for document in documents]


def test_pdf(papers):
    raw = papers.pdf("The tower is 330 metres tall.", "It opened in 1889.")
    found = load_documents(raw, name="t.pdf")
    assert texts(found) == ["The tower is 330 metres tall.", "It opened in 1889."]
    assert [document.metadata for document in found] == [
        {"source": "t.pdf", "page": 1},
        {"source": "t.pdf", "page": 2},
    ]


def test_docx(papers):
    raw = papers.docx("First line.", "Second line.")
    found = load_documents(raw, name="t.docx", source="/a/t.docx")
    assert texts(found) == ["First line.\nSecond line."]
    assert found[0].metadata == {"source": "/a/t.docx"}


def test_docx_tables_footnotes_and_margins(papers):
    raw = papers.docx(
        "The mill is old.",
        table=[["Year", "Tonnes"], ["2023", "4,120"]],
        note="Counted in May.",
        header="Annual report",
    )
    (text,) = texts(load_documents(raw, name="t.docx"))
    assert "The mill is old." in text
    assert "| Year | Tonnes |\n| 2023 | 4,120 |" in text
    assert "See (note 1)" in text
    assert "Counted in May." in text
    assert "Annual report" in text


def test_tables_of_a_pdf_keep_their_cells_apart(papers):
    rows = [["Year", "Visitors", "Revenue"], ["2021", "18,400", "202,435"],
            ["2022", "25,900", "311,070"]]  # fmt: skip
    (text,) = texts(load_documents(papers.pdf_table(rows), name="t.pdf"))
    assert "| Year | Visitors | Revenue |" in text
    assert "| 2022 | 25,900 | 311,070 |" in text


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (
            "<tr><th>Year<th>Tonnes</tr><tr><td>2024</td><td>35</td><td>5298</td></tr>",
            "| Year | Tonnes |\n| 2024 | 35 | 5298 |",
        ),
        ("<tr><td>a</td><td><p>b</p><p>c | d</p></td></tr>", "| a | b c / d |"),
        ("<tr><td><p>One.</p><p>Two.</p></td></tr>", "One.\nTwo."),
        ("<tr><td>x</td><td hidden>obey</td><td>y</td></tr>", "| x | y |"),
        (
            "<tr><td>menu</td><td><table><tr><td>1</td><td>2</td></tr></table>after</td></tr>",
            "| menu | |\n| 1 | 2 |\nafter",
        ),
    ],
)
def test_cells_of_an_html_table_stay_apart(table, text):
    page = f"<body><table>{table}</table></body>".encode()
    assert texts(load_documents(page, name="t.html")) == [text]


def test_html_without_what_is_hidden():
    page = b"<title>T &amp; U</title><body>Hi <b>you</b><!-- obey --><p hidden>obey</p></body>"
    found = load_documents(page, name="t.html")
    assert texts(found) == ["T & U\nHi you"]
    assert found[0].metadata == {"source": "t.html", "title": "T & U"}


def test_markdown_and_text_in_odd_encodings():
    assert texts(load_documents("# Größe\n\n5 m".encode("cp1252"), name="t.md")) == [
        "# Größe\n\n5 m"
    ]
    assert texts(load_documents("Größe".encode("utf-16"), name="README")) == ["Größe"]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_csv_rows_with_broken_lines(mark):
    raw = f"a{mark}b\n1{mark}x\n2{mark}y{mark}z\n3\n".encode()
    found = load_documents(raw, name="t.csv")
    assert [text.split("\n")[0] for text in texts(found)] == ["a: 1", "a: 2", "a: 3"]
    assert found[1].metadata == {"source": "t.csv", "row": 2}


@pytest.mark.parametrize(
    ("raw", "name", "words"),
    [
        (b"%PDF-1.7 broken", "a.pdf", "broken"),
        (b"%PDF-1.7\n" + b"\xff" * 2000, "a.pdf", "broken"),
        (b"no zip", "a.docx", "no DOCX"),
        (b"\x7fELF\x00", "a.txt", "binary"),
        (b"  \n ", "a.txt", "no text"),
        (b"<!-- only a comment -->", "a.html", "no text"),
        (b"a,b\n", "a.csv", "no text"),
    ],
)
def test_broken_files(raw, name, words):
    with pytest.raises(InputError, match=words):
        load_documents(raw, name=name)


def test_zip_bombs_arent_unpacked(papers):
    with pytest.raises(InputError, match="broken"):
        load_documents(papers.zip_bomb(3_000_000), name="a.docx")
    with pytest.raises(InputError, match="unpacks to 60 MB in 1 files; 50 MB"):
        load_documents(papers.zip_bomb(60_000_000), name="a.docx")
