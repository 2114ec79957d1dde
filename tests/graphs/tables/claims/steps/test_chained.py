"""What follows from other numbers of the text, which are held against the result themselves."""

from allotrope.graphs.work.tables.claims.judging import QueryFacts, judge

KITCHENS = QueryFacts(
    ["kitchen", "meals", "complaints", "waste_kg"],
    [["Bay", 2000, 40, 310], ["Hill", 1500, 60, 280]],
    "SELECT kitchen, meals, complaints, waste_kg FROM k",
)


def problems(answer):
    return [one.problem for one in judge(answer, [KITCHENS]) if one.problem]


def test_rates_of_two_rows_are_set_against_each_other():
    assert problems("4% of Hill's meals led to complaints, twice the rate of Bay (2%).") == []
    assert problems("4% of Hill's meals led to complaints, five times the rate of Bay (2%).")


def test_a_share_of_a_sum_that_was_just_worked_out_holds():
    right = "Both kitchens together had 100 complaints. That's about 2.9% of all 3,500 meals."
    assert problems(right) == []
    assert problems(right.replace("2.9%", "7.9%"))


def test_a_rate_lies_points_below_another():
    assert problems("Bay's complaint rate is 2 percentage points lower than Hill's.") == []
    assert problems("Bay's complaint rate is 5 percentage points lower than Hill's.")
