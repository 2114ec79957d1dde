"""Charts are drawn from results, whatever the model proposed."""

import pytest

from allotrope.graphs.work.tables.chart import ChartSpec, choose, draw

COLUMNS = ["region", "total"]
ROWS = [["North", "10.5"], ["South $x$ <b>", 3], ["East", None]]


@pytest.mark.parametrize(
    ("answer", "spec"),
    [
        (
            {"kind": "bar", "x": "region", "y": "total", "title": "T"},
            ChartSpec("bar", "region", "total", "T"),
        ),
        (
            {"kind": "pie", "x": "nope", "y": "region"},
            ChartSpec("bar", "region", "total", "total by region"),
        ),
        ({"kind": "scatter"}, ChartSpec("bar", "region", "total", "total by region")),
        ("nonsense", ChartSpec("bar", "region", "total", "total by region")),
        (None, ChartSpec("bar", "region", "total", "total by region")),
        ({"kind": "none"}, None),
    ],
)
def test_choosing(answer, spec):
    assert choose(answer, COLUMNS, ROWS) == spec


def test_nothing_to_draw():
    assert choose({}, ["a"], [[1], [2]]) is None
    assert choose({}, COLUMNS, ROWS[:1]) is None
    assert choose({}, ["a", "b"], [["x", "y"], ["x", "z"]]) is None


@pytest.mark.parametrize("kind", ["bar", "line", "scatter"])
def test_drawing(tmp_path, kind):
    rows = [[1, 2], [3, 4]] if kind == "scatter" else ROWS
    columns = ["a", "b"] if kind == "scatter" else COLUMNS
    spec = ChartSpec(kind, columns[0], columns[1], "Money $5 <script>alert(1)</script>")
    png, page = draw(spec, columns, rows, folder=tmp_path / "out", name="chart")
    assert png.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "<script>alert" not in text
    assert "https://cdn" not in text
    assert (page.parent / "plotly.min.js").exists()
