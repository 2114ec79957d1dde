"""Rows by parts of their names, by hours and days, and columns by the words of a number's part."""

import pytest

from allotrope.graphs.work.tables.claims.judging import QueryFacts, judge

DEBTS = QueryFacts(
    ["state", "cases", "sum_eur"],
    [["paid", 900, 45000], ["late 10+ days", 70, 8400], ["late 40+ days", 20, 5200]],
    "SELECT state, count(*) AS cases, sum(x) AS sum_eur FROM d GROUP BY 1",
)
HOURS = QueryFacts(
    ["hour", "visitors", "noise_db"],
    [["09:00", 120, 55.5], ["12:00", 480, 71.0], ["18:00", 310, 64.2]],
    "SELECT hour, visitors, noise_db FROM h ORDER BY hour",
)
DAYS = QueryFacts(
    ["day", "high_c"],
    [["2026-05-04", 18.2], ["2026-05-05", 24.9], ["2026-05-06", 21.0]],
    "SELECT day, high_c FROM w WHERE day BETWEEN '2026-05-04' AND '2026-05-06'",
)
PARTS = QueryFacts(
    ["part", "in_store", "wanted", "price_eur", "freight_eur"],
    [["Steel pin 4 mm", 700, 900, 0.4, 12.5], ["Brass nut", 90, 400, 1.1, 9.0]],
    "SELECT part, in_store, wanted, price_eur, freight_eur FROM p",
)
WEEKS = QueryFacts(
    ["week", "sold", "returned"],
    [["2026-W07", 40, 3], ["2026-W08", 9, 12]],
    "SELECT week, sold, returned FROM w ORDER BY week",
)
AGES = QueryFacts(
    ["altersgruppe", "faelle", "power_kw", "damaged", "late_parcels"],
    [["18-29", 80, 1450, 7, 30], ["60+", 45, 900, 3, 45]],
    "SELECT altersgruppe, faelle, power_kw, damaged, late_parcels FROM a ORDER BY 1",
)


def problems(answer, result):
    return [one.problem for one in judge(answer, [result]) if one.problem]


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("90 cases are late: 70 by more than 10 days and 20 by more than 40 days.", DEBTS),
        ("Late cases amount to 13,600 euros.", DEBTS),
        ("At noon 480 visitors came, at 9 am only 120.", HOURS),
        ("Um 18 Uhr kamen 310 Besucher.", HOURS),
        ("The warmest day was the 5th, with 24.9 °C.", DAYS),
        ("From the 5th to the 6th it cooled down by 3.9 °C.", DAYS),
        ("In the days from 4–6 May the high rose above 24 °C once.", DAYS),
        ("Ab 60 waren es 45 Fälle, von 18 bis 29 dagegen 80.", AGES),
        ("The power was 1,450 kW for the group 18-29.", AGES),
        ("Week 7 was the best: 40 sold and only 3 returned.", WEEKS),
        ("In one of the two weeks more were returned than sold.", WEEKS),
        ("Steel pins: 700 in store against 900 wanted.", PARTS),
        ("The brass nuts cost €1.10 in price and €9 in freight.", PARTS),
        ("1. Steel pin 4 mm – 700\n2. Brass nut – 90", PARTS),
    ],
)
def test_a_row_is_known_by_other_forms_of_its_name(answer, result):
    assert problems(answer, result) == []


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("70 cases are late by more than 40 days.", DEBTS),
        ("At noon 310 visitors came.", HOURS),
        ("Ab 60 waren es 80 Fälle.", AGES),
        ("60+ damaged 45 parcels.", AGES),
        ("In W8 40 were sold.", WEEKS),
        ("In two of the two weeks more were returned than sold.", WEEKS),
        ("On the 6th it was 24.9 °C.", DAYS),
        ("There are 900 steel pins in store.", PARTS),
        ("The brass nuts cost €1.10 in freight.", PARTS),
    ],
)
def test_another_row_or_column_is_caught(answer, result):
    assert problems(answer, result)
