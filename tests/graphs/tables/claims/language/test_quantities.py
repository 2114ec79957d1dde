"""Numbers as people write them: lengths of time in parts, every fourth, cents, larger units."""

from decimal import Decimal

import pytest

from allotrope.graphs.work.tables.claims.judging import QueryFacts, judge
from allotrope.graphs.work.tables.claims.language.quantities import parse

USE = QueryFacts(
    ["house", "use_gwh", "wait_min", "price_eur", "length_m", "sold_m"],
    [["Alder", 4200, 135, 0.36, 2.5, 3.1], ["Birch", 900, 48, 0.29, 0.7, 0.4]],
    "SELECT house, use_gwh, wait_min, price_eur, length_m, sold_m FROM u",
)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("It took 2 hours and 8 minutes.", "128", "min"),
        ("It took 2 h 8 min.", "128", "min"),
        ("Every fourth flight was late.", "0.25", "fraction"),
        ("Jeder zehnte fiel durch.", "0.1", "fraction"),
        ("It is one and a half times as long.", "1.5", "times"),
        ("It costs 15 cents.", "15", "cent"),
    ],
)
def test_a_number_is_read(text, value, unit):
    (one,) = parse(text).quantities
    assert (one.readings, one.unit) == ((Decimal(value),), unit)


def test_every_second_month_is_no_share():
    assert parse("It is paid every second month.").quantities == ()


@pytest.mark.parametrize(
    "answer",
    [
        "Alder used 4.2 TWh.",
        "At Alder the wait is 2 hours and 15 minutes.",
        "Birch pays 29 cents.",
        "Birch is 70 cm long.",
        "Alder sold 3.1 million.",
    ],
)
def test_a_cell_is_known_in_another_unit(answer):
    assert [one.problem for one in judge(answer, [USE]) if one.problem] == []


@pytest.mark.parametrize(
    "answer",
    [
        "Alder used 4,200 MWh.",
        "At Alder the wait is 2 hours and 51 minutes.",
        "Birch pays 36 cents.",
        "Birch is 70 km long.",
        "Alder sold 3.1 billion.",
    ],
)
def test_a_wrong_unit_is_caught(answer):
    assert [one.problem for one in judge(answer, [USE]) if one.problem]
