"""Ranks without a named row, by goodness, by date and by frequency."""

import pytest

from allotrope.graphs.work.tables.claims.judging import QueryFacts, judge

LINES = QueryFacts(
    ["line", "since", "trips", "delay_min", "seats_sold", "seats"],
    [
        ["Red", "2019-03-01", 400, 2.5, 8000, 9000],
        ["Blue", "2022-07-15", 900, 6.1, 9500, 8500],
        ["Green", "2016-10-30", 650, 4.0, 7000, 7700],
    ],
    "SELECT line, since, trips, delay_min, seats_sold, seats FROM lines",
)


def problems(answer):
    return [one.problem for one in judge(answer, [LINES]) if one.problem]


@pytest.mark.parametrize(
    "answer",
    [
        "Red is the most punctual line.",
        "The shortest delay was 2.5 minutes.",
        "Green is the oldest line, running since 30 October 2016.",
        "Blue is the newest line.",
        "The delay was shortest on Red (2.5 minutes) and longest on Blue (6.1 minutes).",
        "Red did better than Blue.",
    ],
)
def test_a_rank_that_holds_stays(answer):
    assert problems(answer) == []


@pytest.mark.parametrize(
    "answer",
    [
        "Blue is the most punctual line.",
        "The shortest delay was 4.0 minutes.",
        "Red is the oldest line.",
        "The delay was longest on Red (2.5 minutes).",
        "Blue did better than Red.",
    ],
)
def test_a_wrong_rank_is_caught(answer):
    assert problems(answer)
