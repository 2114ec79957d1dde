"""All and none: what is said of every row must hold of every row."""

import pytest

from allotrope.graphs.work.tables.claims.judging import QueryFacts, judge

SHOPS = QueryFacts(
    ["shop", "sales_eur", "target_eur"],
    [["A1", 500.0, 400.0], ["B2", 300.0, 350.0], ["C3", 200.0, 180.0]],
    "SELECT shop, sales_eur, target_eur FROM s",
)
STATIONS = QueryFacts(
    ["station", "score", "profit_eur", "faults", "safe"],
    [["Oslo", 4.1, -200, 0, True], ["Bern", 4.6, 900, 3, True], ["Riga", 3.7, 150, 0, False]],
    "SELECT station, score, profit_eur, faults, safe FROM s",
)


def problems(answer):
    return [one.problem for one in judge(answer, [STATIONS]) if one.problem]


@pytest.mark.parametrize(
    "answer",
    [
        "All stations score above 4.",
        "Every station had a positive profit.",
        "No station had any faults.",
        "All three stations reported faults.",
        "All stations are safe.",
        "Two of the three stations are not safe.",
        "Jede Station erzielte einen Gewinn und war profitabel.",
    ],
)
def test_an_overstatement_is_struck(answer):
    assert problems(answer)


def test_plans_are_reached_by_so_many():
    def told(answer):
        return [one.problem for one in judge(answer, [SHOPS]) if one.problem]

    assert told("Two of the three shops reached their targets.") == []
    assert told("One of the three shops missed its target.") == []
    assert told("All shops reached their targets.")
    assert told("Two of the three shops missed their targets.")


@pytest.mark.parametrize(
    "answer",
    [
        "All stations score above 3.",
        "Zwei von drei Stationen haben mehr als 4 Punkte im Score.",
        "All stations except Riga score above 4.",
        "Not all stations score above 4.",
        "No station scores above 5.",
        "Two of the three stations are safe.",
        "All stations were looked at.",
        "Every station should check its doors.",
    ],
)
def test_what_holds_of_all_or_cannot_be_worked_out_stays(answer):
    assert problems(answer) == []
