"""The conditions of a query, and which of them a follow-up's queries no longer have."""

import pytest

from allotrope.graphs.work.tables.filters import dropped, filters_of


@pytest.mark.parametrize(
    ("sql", "conditions"),
    [
        ("SELECT 1 FROM t", []),
        (
            "SELECT a FROM t WHERE region = 'North' AND year(day) = 2025 GROUP BY 1",
            ["region = 'North'", "year ( day ) = 2025"],
        ),
        (
            "SELECT a FROM t WHERE day BETWEEN '2025-01-01' AND '2025-06-30' AND n > 3 LIMIT 5",
            ["day BETWEEN '2025-01-01' AND '2025-06-30'", "n > 3"],
        ),
        ("SELECT a FROM (SELECT * FROM t WHERE x = 'and or') ORDER BY 1", ["x = 'and or'"]),
        ("SELECT a FROM t WHERE x = 1 OR y = 2", ["x = 1 OR y = 2"]),
        ("SELECT a FROM t WHERE x IS NOT NULL", []),
    ],
)
def test_conditions_are_found(sql, conditions):
    assert filters_of(sql) == conditions


def test_a_condition_whose_column_is_limited_otherwise_is_no_loss():
    before = filters_of("SELECT 1 FROM t WHERE region = 'North' AND year(day) = 2025")
    assert dropped(before, filters_of("SELECT 1 FROM t WHERE region = 'South'")) == [
        "year ( day ) = 2025"
    ]
    assert dropped(before, filters_of("SELECT 1 FROM t WHERE day > '2025-01-01'")) == [
        "region = 'North'"
    ]
    assert dropped([], []) == []


@pytest.mark.parametrize("sql", ["'" * 8000, "(" * 8000, "where " * 1300, "where a and " * 600])
def test_nonsense_ends(sql):
    assert isinstance(filters_of(sql), list)
