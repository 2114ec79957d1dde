"""What follows from two columns of a row: what is left over, what is missing, what changed."""

import pytest

from allotrope.graphs.work.tables.claims.judging import QueryFacts, judge

COURSES = QueryFacts(
    ["course", "enrolled", "finished", "fee_eur", "books_eur"],
    [
        ["Pottery", 40, 30, 90.0, 25.5],
        ["Welding", 24, 18, 310.0, 44.0],
        ["Sewing", 50, 45, 120.0, 15.25],
    ],
    "SELECT course, enrolled, finished, fee_eur, books_eur FROM courses",
)
YEARS = QueryFacts(
    ["plant", "output_2025", "output_2026"],
    [["Lund", 8000, 9200], ["Ghent", 5000, 4500]],
    "SELECT plant, output_2025, output_2026 FROM plants",
)
SHARES = QueryFacts(
    ["brand", "share_2025_pct", "share_2026_pct"],
    [["Top", 40.0, 38.5], ["Mid", 21.0, 25.0], ["Low", 6.0, 6.0]],
    "SELECT brand, share_2025_pct, share_2026_pct FROM brands",
)


def problems(answer, result):
    return [one.problem for one in judge(answer, [result]) if one.problem]


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("In Pottery, 10 people did not finish.", COURSES),
        ("A quarter of those enrolled in Welding failed to finish.", COURSES),
        ("Altogether 21 of the 114 people enrolled did not finish.", COURSES),
        ("Sewing costs 135.25 euros in total.", COURSES),
        ("Lund made 9,200 in 2026, up by 15% or 1,200.", YEARS),
        ("Mid gained 4 percentage points.", SHARES),
        ("Top lost 1.5 points.", SHARES),
        ("Ghent's output fell from 5,000 in 2025 to 4,500 in 2026, a drop of 10%.", YEARS),
    ],
)
def test_what_two_columns_make_holds(answer, result):
    assert problems(answer, result) == []


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("In Pottery, 30 people did not finish.", COURSES),
        ("Half of those enrolled in Welding failed to finish.", COURSES),
        ("Lund made 9,200 in 2025.", YEARS),
        ("Mid lost 4 percentage points.", SHARES),
        ("Low gained 6 points.", SHARES),
        ("Ghent's output rose by 10%.", YEARS),
        ("In Welding 6 people finished.", COURSES),
    ],
)
def test_what_they_do_not_make_fails(answer, result):
    assert problems(answer, result)
