"""Files of every kind become tables, however broken; what can't be read is a sentence."""

import json
import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from allotrope.exceptions import InputError
from allotrope.graphs.work.tables.engine import QueryEngine
from allotrope.graphs.work.tables.reading import describe, read_tables


def read(folder, *names, max_bytes=10**6):
    return read_tables(
        [str(folder / name) for name in names],
        roots=[folder],
        max_bytes=max_bytes,
        folder=folder / "kept",
    )


def rows(table):
    return pd.read_parquet(table.parquet).astype(object).where(lambda frame: frame.notna(), None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_csv_in_usual_encodings(tmp_path, encoding, mark):
    text = f"Größe{mark}n\nklein{mark}1\ngroß{mark}2\n"
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    (table,) = read(tmp_path, "a.csv")
    assert rows(table).to_dict("list") == {"Größe": ["klein", "groß"], "n": [1, 2]}


def test_csv_with_broken_lines(tmp_path):
    (tmp_path / "My Data 2.csv").write_text('a,b,a\n1,"x, y",3\n4,y\n5,z,6,7\n\n"open\n')
    (table,) = read(tmp_path, "My Data 2.csv")
    frame = rows(table)
    assert table.name == "my_data_2"
    assert list(frame.columns)[:2] == ["a", "b"]
    assert frame["b"].tolist()[:3] == ["x, y", "y", "z"]
    assert "too many cells" in table.notes[0]


def test_numbers_with_separators(tmp_path):
    (tmp_path / "a.csv").write_text('n\n"1,234.50"\n"2,000"\n')
    (tmp_path / "b.csv").write_text("n;m\n1,5;x\n2,25;y\n")
    one, two = read(tmp_path, "a.csv", "b.csv")
    assert rows(one)["n"].tolist() == [1234.5, 2000]
    assert rows(two)["n"].tolist() == [1.5, 2.25]


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1, "b": {"c": "x"}}, {"a": 2, "b": {"c": "y"}, "d": [1]}]',
        '{"meta": 1, "rows": [{"a": 1, "b": {"c": "x"}}, {"a": 2, "b": {"c": "y"}}]}',
        '{"a": 1, "b": {"c": "x"}}\nbroken\n{"a": 2, "b": {"c": "y"}}',
    ],
)
def test_json(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    (table,) = read(tmp_path, "a.json")
    frame = rows(table)
    assert frame["a"].tolist() == [1, 2]
    assert frame["b.c"].tolist() == ["x", "y"]


def test_excel_and_parquet(tmp_path):
    frame = pd.DataFrame({"a": [1, 2]})
    frame.to_parquet(tmp_path / "p.parquet")
    with pd.ExcelWriter(tmp_path / "x.xlsx") as book:
        frame.to_excel(book, sheet_name="One", index=False)
        frame.to_excel(book, sheet_name="Two", index=False)
        pd.DataFrame().to_excel(book, sheet_name="Empty")
    tables = read(tmp_path, "x.xlsx", "p.parquet", "p.parquet")
    assert [table.name for table in tables] == ["x_one", "x_two", "p", "p_2"]
    assert tables[0].source == "x.xlsx (One)"
    assert all(rows(table)["a"].tolist() == [1, 2] for table in tables)


def test_mixed_columns_become_text(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"a": 1}, {"a": "x"}, {"a": True}]))
    (table,) = read(tmp_path, "a.json")
    assert rows(table)["a"].tolist() == ["1", "x", "True"]


@pytest.mark.parametrize(
    ("text", "sums", "note"),
    [
        ("k;v\na;1.020,43\nb;981,89\n", 2002.32, "the comma is the decimal sign"),
        ("k;v;w\na;1.020;0,5\nb;2.500;1,5\n", 3520, "as the other columns are"),
        ("k;v\na;128.928\nb;111.191\n", 240119, "has two readings: 128.928 is read as 128928"),
        ('k,v\na,"1,234"\nb,"5,678"\n', 6912, "has two readings: 1,234 is read as 1234"),
        ("k,v\na,€ 12.50\nb,€ 7.25\n", 19.75, "is an amount in €"),
        ("k,v\na,12.5%\nb,50%\n", 62.5, "holds per cent"),
        ("k,v\na,(100)\nb,300\n", 200, "in parentheses are negative"),
        ("k;v\na;1'250.50\nb;2\n", 1252.5, "semicolons"),
        ("k,v\na,1\nb,n/a\nc,-\nd,4\n", 5, None),
        ("Report,\nas of May,\nk,v\na,1\nb,2\n", 3, "2 lines above the header"),
        ("k,v,\na,1,\nb,2,\n", 3, None),
    ],
)
def test_numbers_as_files_write_them(tmp_path, text, sums, note):
    (tmp_path / "a.csv").write_text(text)
    (table,) = read(tmp_path, "a.csv")
    assert list(rows(table).columns)[:2] == ["k", "v"]
    assert float(rows(table)["v"].dropna().astype(float).sum()) == pytest.approx(sums)
    assert note is None or any(note in one for one in table.notes), table.notes


@pytest.mark.parametrize(
    ("cells", "first", "note"),
    [
        (["31.12.2025", "15.01.2026"], "2025-12-31", "day, month, year"),
        (["12/31/2025", "1/15/2026"], "2025-12-31", "month, day, year"),
        (["03/04/2026", "05/06/2026"], "2026-03-04", "has two readings: 03/04/2026 is read as"),
        (["2026-01-01", "2026-02-01"], "2026-01-01", None),
        (["15 Jan 2026", "1 Feb 2026"], "2026-01-15", "holds dates"),
        (["31.12.2025 18:30", "01.01.2026 06:15"], "2025-12-31 18:30:00", "day, month"),
        (["2026-01-01T10:00:00+01:00", "2026-01-01T12:00:00Z"], "2026-01-01 09:00:00", "UTC"),
        (["2026-01", "2026-02"], "2026-01", None),
        (["32.01.2026", "01.01.2026"], "32.01.2026", None),
    ],
)
def test_dates_as_files_write_them(tmp_path, cells, first, note):
    (tmp_path / "a.csv").write_text("d,n\n" + "".join(f"{cell},1\n" for cell in cells))
    (table,) = read(tmp_path, "a.csv")
    assert str(rows(table)["d"][0]) == first
    assert note is None or any(note in one for one in table.notes), table.notes


def test_what_begins_with_zeros_is_no_number(tmp_path):
    (tmp_path / "a.csv").write_text("plz,n\n01067,1\n99084,2\n")
    (table,) = read(tmp_path, "a.csv")
    assert rows(table)["plz"].tolist() == ["01067", "99084"]


def test_a_workbook_with_a_title_and_merged_headers(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for row in [
        ("Sales 2026",),
        ("Region", "Q1", None, "Q2", None),
        (None, "Units", "Euro", "Units", "Euro"),
        ("North", 1, 10.5, 2, 20.5),
        ("South", 3, 30, 4, 40),
    ]:
        sheet.append(row)
    sheet.merge_cells("A1:E1")
    sheet.merge_cells("A2:A3")
    sheet.merge_cells("B2:C2")
    sheet.merge_cells("D2:E2")
    book.save(tmp_path / "x.xlsx")
    (table,) = read(tmp_path, "x.xlsx")
    assert list(rows(table).columns) == ["Region", "Q1 Units", "Q1 Euro", "Q2 Units", "Q2 Euro"]
    assert rows(table)["Q2 Euro"].tolist() == [20.5, 40]
    assert "“Sales 2026”" in table.notes[0]
    assert "two lines" in table.notes[1]


def test_text_numbers_of_a_workbook(tmp_path):
    pd.DataFrame({"k": ["a", "b"], "v": ["1.020,43", "981,89"]}).to_excel(
        tmp_path / "x.xlsx", index=False
    )
    (table,) = read(tmp_path, "x.xlsx")
    assert rows(table)["v"].sum() == pytest.approx(2002.32)


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv", b"\x00\x01\x02", "binary"),
        ("a.csv", b"x" * 2_000_000, "limit"),
        ("a.json", b"{broken", "no JSON"),
        ("a.json", b"[" * 100_000, "nested too deeply|no JSON"),
        ("a.parquet", b"PAR1 broken", "can't be read"),
        ("a.xlsx", b"no zip", "can't be read"),
        ("a.exe", b"MZ", "no table"),
        ("missing.csv", None, "no file"),
    ],
)
def test_broken_files(tmp_path, name, raw, words):
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError, match=words):
        read(tmp_path, name)


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputError, match="no data"):
        read(tmp_path)


def test_the_description_for_the_prompt(tmp_path):
    (tmp_path / "sales.csv").write_text("region,amount\nNorth,10\nSouth,\n" + "North,5\n" * 10)
    tables = read(tmp_path, "sales.csv")
    engine = QueryEngine({table.name: table.parquet for table in tables})
    text = describe(tables, engine.profile())
    assert text.startswith(
        'Table "sales" from sales.csv: 12 rows\n  "region" VARCHAR, North to South'
    )
    assert '"amount" BIGINT, 5 to 10' in text
    assert "8.33 % missing" in text


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_tables_of_an_sqlite_database(tmp_path, journal):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as base:
        base.execute(f"PRAGMA journal_mode = {journal}")
        base.executescript(
            """
            CREATE TABLE orders (day TEXT, "net amount" REAL, note BLOB);
            INSERT INTO orders VALUES ('2026-03-01', 12.5, x'00ff'), ('2026-03-02', 7, NULL);
            CREATE TABLE "the customers" (name TEXT);
            INSERT INTO "the customers" VALUES ('Ада');
            CREATE TABLE empty (a);
            CREATE VIEW all_orders AS SELECT * FROM orders;
            """
        )
        base.commit()
    one, two = read(tmp_path, "shop.db")
    assert (one.name, two.name) == ("shop_orders", "shop_the_customers")
    frame = rows(one)
    assert frame["net amount"].tolist() == [12.5, 7.0]
    assert str(frame["day"][0]).startswith("2026-03-01")
    assert frame["note"].tolist() == ["(2 bytes)", None]
    assert rows(two)["name"].tolist() == ["Ада"]
    assert any("-wal" in note for note in one.notes) == (journal == "wal")


@pytest.mark.parametrize(
    "raw", [b"not a database", b"SQLite format 3\x00", b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_broken_database_is_named(tmp_path, raw):
    (tmp_path / "shop.sqlite").write_bytes(raw)
    with pytest.raises(InputError, match=r"shop\.sqlite"):
        read(tmp_path, "shop.sqlite")
