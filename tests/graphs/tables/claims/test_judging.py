"""What each sentence says of a number is held against the result: row, column, unit, sign, rank."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allotrope.graphs.work.tables.claims.judging import QueryFacts, judge, kept

SHOPS = QueryFacts(
    ["shop", "revenue", "orders", "return_rate", "change_pct"],
    [
        ["Oak", 5200.5, 130, 0.042, 12.5],
        ["Elm", 3900, 65, 0.101, -3.4],
        ["Ash", 1950, 52, 0.02, 0.8],
    ],
    "SELECT shop, sum(amount) AS revenue, count(*) AS orders FROM t GROUP BY 1 ORDER BY 2 DESC",
)
MONTHS = QueryFacts(
    ["month", "avg_wait_min"],
    [["2025-11-01", "30"], ["2025-12-01", "45"], ["2026-01-01", "36"]],
    "SELECT month, avg(wait) AS avg_wait_min FROM t GROUP BY 1 ORDER BY 1",
)
QUESTION = "Which of the 9 shops sold over 2,000 in 2025?"


def problems(answer, *results):
    found = judge(answer, results or (SHOPS,), question=QUESTION)
    return [one.problem for one in found if one.problem]


@pytest.mark.parametrize(
    "answer",
    [
        "Oak sold most: 5,200.50 from 130 orders.",
        "Elm made 3.9k and Ash 1.95k.",
        "Elm and Ash made 3,900 and 1,950, respectively.",
        "With 5,200.5, Oak leads; Elm is second.",
        "Oak's return rate is 4.2%, Elm's 10.1 %.",
        "Oak is ahead of Elm by 1,300.50.",
        "Oak made twice as much from orders as Elm (130 vs. 65).",
        "Oak accounts for about 47% of revenue.",
        "Together they made 11,050.50.",
        "Two of the three shops exceeded 2,000.",
        "Elm shrank by 3.4%, Oak grew 12.5%.",
        "Elm lost 3.4 percent.",
        "On average an order at Elm was worth 60.",
        "Ash has the lowest return rate, at 2%.",
        "Oak had more orders than Elm.",
        "There are three shops.",
        "In 2025 Oak led.",
        "Only two of the 9 shops sold more than 2,000.",
    ],
)
def test_what_the_result_says_holds(answer):
    assert problems(answer) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Elm sold 5,200.50.", "revenue of Oak"),
        ("Oak had 5,200 orders.", "revenue of Oak"),
        ("Elm sold most, with 3,900.", "doesn't hold"),
        ("Elm and Ash made 1,950 and 3,900, respectively.", "revenue of"),
        ("Oak's return rate is 0.042%.", "return_rate"),
        ("Oak is ahead of Elm by 3,100.50.", "no result"),
        ("Oak accounts for 74% of revenue.", "no result"),
        ("Together they made 11,500.50.", "no result"),
        ("All three shops exceeded 2,000.", "counts otherwise"),
        ("Elm grew by 3.4%.", "change_pct of Elm"),
        ("Ash has the highest return rate, at 2%.", "doesn't hold"),
        ("Elm had more orders than Oak.", "doesn't hold"),
        ("There are four shops.", "counts otherwise"),
        ("There are 9 shops.", "counts otherwise"),
        ("Oak sold 2,000.", "no result"),
        ("Oak made three times as much from orders as Elm.", "no result"),
        ("Oak had €130 orders.", "orders of Oak"),
        ("On 24 December 2025 Oak made 5,200.50.", "no row has this date"),
    ],
)
def test_what_it_doesnt_say_is_found(answer, reason):
    (problem,) = problems(answer)
    assert reason in problem


@pytest.mark.parametrize(
    "answer",
    [
        "The average wait was 45 minutes in December 2025, up from 30 minutes in November.",
        "In December people waited 0.75 hours.",
        "Waits rose by 50% from November to December.",
    ],
)
def test_periods_and_units_of_time(answer):
    assert problems(answer, MONTHS) == []


@pytest.mark.parametrize(
    "answer",
    [
        "The average wait was 45 minutes in January.",
        "In December people waited 45 hours.",
        "Waits fell by 50% from November to December.",
        "Waits rose every month.",
        "Waits rose from 45 minutes in December to 36 in January.",
    ],
)
def test_wrong_periods_and_units_of_time(answer):
    assert problems(answer, MONTHS)


VISITS = QueryFacts(
    ["visit", "patients", "mean_pressure"],
    [[1, 40, 148.2], [2, 38, 141.7], [3, 35, 136.5]],
    "SELECT visit, count(*) AS patients, avg(p) AS mean_pressure FROM v GROUP BY visit ORDER BY 1",
)
PLANS = QueryFacts(
    ["project", "budget_eur", "spent_eur"], [["Atlas", 120000, 131500], ["Cygnus", 45000, 44100]]
)


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (VISITS, "Pressure fell from 148.2 at visit 1 to 136.5 at visit 3, a drop of 11.7 points."),
        (VISITS, "35 patients attended the third visit."),
        (PLANS, "Atlas spent €131,500 against a budget of €120,000, 9.6% or €11,500 over."),
        (PLANS, "Cygnus has used €44,100 of €45,000, 98% of its budget."),
        (SHOPS, "The three shops took 247 orders."),
        (SHOPS, "Without Oak, the other shops made 5,850."),
    ],
)
def test_rows_by_number_plans_and_totals(result, answer):
    assert problems(answer, result) == []


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (VISITS, "38 patients attended the third visit."),
        (VISITS, "Pressure was 141.7 at visit 3."),
        (PLANS, "Atlas spent €120,000 against a budget of €131,500."),
        (PLANS, "Cygnus has used 89% of its budget."),
        (SHOPS, "The three shops took 274 orders."),
        (SHOPS, "Elm is the richest in orders, with 65."),
    ],
)
def test_wrong_rows_by_number_plans_and_totals(result, answer):
    assert problems(answer, result)


def test_only_the_wrong_sentence_is_struck():
    answer = (
        "Oak leads with 5,200.50. Elm made 9. Ash made 1,950.\n\n- Oak: 130 orders\n- Elm: 7 orders"
    )
    judged = judge(answer, [SHOPS])
    assert kept(answer, judged) == "Oak leads with 5,200.50. Ash made 1,950.\n\n- Oak: 130 orders"


def test_what_was_worked_out_is_told():
    (one,) = judge("Oak accounts for 47.1% of revenue.", [SHOPS])
    assert one.derived == ("47.1% = 5200.5 / 11050.5",)


def test_the_row_carries_on_into_the_next_sentence():
    assert problems("Elm is second. It had 65 orders.") == []
    assert problems("Elm is second. It had 130 orders.")


def test_numbers_of_several_results():
    assert problems("Oak sold 5,200.50. The wait in January was 36 minutes.", SHOPS, MONTHS) == []


def test_without_a_result_no_number_holds():
    assert [one.problem for one in judge("It is 5.", [])] == ["5: there is no result"]
    assert judge("It is so.", [])[0].problem is None


@given(st.integers(1, 999_999), st.integers(0, 2))
def test_each_cell_holds_as_it_is_written(value, row):
    result = QueryFacts(["shop", "total"], [["Oak", value], ["Elm", value * 3], ["Ash", value * 7]])
    name, factor = (("Oak", 1), ("Elm", 3), ("Ash", 7))[row]
    assert [one.problem for one in judge(f"{name}: {value * factor:,}.", [result])] == [None]


@given(st.text(max_size=300))
def test_any_text_is_judged(text):
    kept(text, judge(text, [SHOPS, MONTHS], question=text))
