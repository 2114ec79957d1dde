"""Every number of an answer stands in a result; rounding and writing styles are understood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allotrope.graphs.work.tables.numbers import unsupported

RESULTS = [
    (
        ["region", "total", "share", "change", "day"],
        [
            ["North", 1234567.891, 0.4237, -5.25, "2024-05-01"],
            ["South Q3", "99.50", 0.5763, 12, "2024-06-30"],
        ],
    ),
    (["n"], [[42]]),
]

RIGHT = [
    "North sold 1,234,567.891.",
    "North sold 1,234,567.89 and 1,234,568.",
    "Nord verkaufte 1.234.567,89.",
    "North: 1 234 567.9 or 1'234'567.9 or 1\u202f234\u202f568",
    "North sold $1.23 million, that is 1.2M, 1.235 Mio, 1235k, about 1,200,000.",
    "about 1,200,000; roughly 1,230,000; over 1,234,000",
    "42.4 %, 42%, 42.37 percent, 0.42, 0.4237",
    "It fell by 5.25 (-5.25, −5.3).",
    "South Q3 has 99.5, 99.50, 100.",
    "On 2024-05-01 and 30.06.2024: 42 rows.",
    "42 of them; two regions.",
    "1. North\n2. South\n3) other",
    "No numbers at all.",
    "3D prints and the 2nd place",
    "```sql\nselect 777\n```",
    "In 2023 the top 7 were the same.",
]

WRONG = [
    ("North sold 1,234,567.88.", ["1,234,567.88"]),
    ("North sold 1,200,000.", ["1,200,000"]),
    ("North sold 1.24 million.", ["1.24 million"]),
    ("Together 1,234,667.39.", ["1,234,667.39"]),
    ("43 %", ["43 %"]),
    ("The share is 0.43.", ["0.43"]),
    ("99.6 and 99.6 and 98", ["99.6", "98"]),
    ("about 1,300,000", ["1,300,000"]),
    ("Es sind 1.234.568,89.", ["1.234.568,89"]),
    ("41 rows", ["41"]),
    ("In 2022", ["2022"]),
    ("1e9", ["1e9"]),
    ("-43", ["-43"]),
]


@pytest.mark.parametrize("answer", RIGHT)
def test_right_numbers_hold(answer):
    assert unsupported(answer, RESULTS, question="What were the top 7 of 2023?") == []


@pytest.mark.parametrize(("answer", "numbers"), WRONG)
def test_wrong_numbers_are_found(answer, numbers):
    assert unsupported(answer, RESULTS, question="What were the top 7 of 2023?") == numbers


@given(st.decimals(-(10**9), 10**9, places=4), st.integers(0, 4))
def test_every_rounding_of_a_value_holds(value, places):
    results = [(["x"], [[str(value)]])]
    assert unsupported(f"It is {value:,.{places}f} in all.", results) == []


@given(st.integers(3000, 10**9), st.integers(1, 10**6))
def test_another_whole_number_never_holds(value, off):
    results = [(["x"], [[value]])]
    assert unsupported(f"It is {value + off} in all.", results) == [str(value + off)]
