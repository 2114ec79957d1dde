"""Dates are read in one way or refused, and counted as the calendar has them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allotrope.agents.tools.dates import Moment, add, difference, read_moment
from allotrope.exceptions import InputError

TODAY = date(2026, 12, 1)


@pytest.mark.parametrize(
    ("text", "day", "clock"),
    [
        ("2026-12-24", "2026-12-24", None),
        ("24.12.2026", "2026-12-24", None),
        ("24 December 2026", "2026-12-24", None),
        ("Dec. 24th, 2026", "2026-12-24", None),
        ("24. Dezember 2026", "2026-12-24", None),
        ("12/24/2026", "2026-12-24", None),
        ("05/05/2026", "2026-05-05", None),
        ("Thursday, 24 December 2026", "2026-12-24", None),
        ("today", "2026-12-01", None),
        ("tomorrow 9 am", "2026-12-02", "09:00:00"),
        ("2026-12-24T18:15:30", "2026-12-24", "18:15:30"),
        ("12:05 am", "2026-12-01", "00:05:00"),
        ("15 Uhr", "2026-12-01", "15:00:00"),
        ("March 3, 2026 at 3:30 p.m.", "2026-03-03", "15:30:00"),
    ],
)
def test_dates_and_times(text, day, clock):
    found = read_moment(text, today=TODAY)
    assert (str(found.day), found.at and str(found.at)) == (day, clock)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("03/04/2026", "2026-03-04 or 2026-04-03"),
        ("2026-02-30", "February 2026 has 28 days"),
        ("13/13/2026", "no date of the calendar"),
        ("some Friday", "such as 2026-12-24"),
        ("24 Foo 2026", "such as"),
        ("13 pm", "time of day"),
        ("", "empty"),
        ("1" * 500, "too long"),
    ],
)
def test_what_is_no_date_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        read_moment(text, today=TODAY)


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(-4000, 4000))
def test_days_agree_with_the_calendar(day, count):
    assert add(day, f"{count} days")[0] == day + timedelta(days=count)
    line = difference(Moment(day), Moment(day + timedelta(days=count)))
    assert f": {count} days" in line


@given(st.dates(date(1990, 1, 1), date(2050, 1, 1)), st.integers(-300, 300))
def test_business_days_are_counted_one_by_one(day, count):
    found, left = day, abs(count)
    while left:
        found += timedelta(days=1 if count > 0 else -1)
        left -= found.weekday() < 5
    assert add(day, f"{count} business days")[0] == found


@pytest.mark.parametrize(
    ("start", "amount", "end"),
    [
        ("2026-01-31", "1 month", "2026-02-28"),
        ("2024-02-29", "1 year", "2025-02-28"),
        ("2026-12-24", "3 months and 2 days", "2027-03-26"),
        ("2026-12-01", "2 weeks ago", "2026-11-17"),
        ("2026-12-01", "-1 week", "2026-11-24"),
        ("2026-12-01", "3 Wochen", "2026-12-22"),
    ],
)
def test_amounts(start, amount, end):
    assert str(add(date.fromisoformat(start), amount)[0]) == end


@pytest.mark.parametrize("amount", ["a while", "", "5", "5 days of rain", "9" * 100])
def test_what_is_no_amount_is_refused(amount):
    with pytest.raises(InputError, match="90 days"):
        add(TODAY, amount)


def test_out_of_the_calendar():
    with pytest.raises(InputError, match=r"calendar|years 1"):
        add(TODAY, "999999 years")


def test_years_months_and_working_days():
    line = difference(Moment(date(1990, 5, 17)), Moment(TODAY))
    assert "36 years, 6 months and 14 days" in line
    assert "4 working days" in difference(Moment(date(2026, 11, 30)), Moment(date(2026, 12, 4)))


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("in 10 days", "2026-12-11"),
        ("3 weeks ago", "2026-11-10"),
        ("2 months from now", "2027-02-01"),
        ("the 5th of November 2026", "2026-11-05"),
        ("20261224", "2026-12-24"),
        ("the day after tomorrow", "2026-12-03"),
        ("two weeks ago", "2026-11-17"),
        ("in a week", "2026-12-08"),
        ("2026-12-24T15:00:00.000Z", "2026-12-24"),
    ],
)
def test_dates_counted_from_today(text, day):
    assert str(read_moment(text, today=TODAY).day) == day


@pytest.mark.parametrize(
    ("text", "to_do"),
    [
        ("Friday, 24 December 2026", "is a Thursday"),
        ("next Friday", "2026-12-04 or 2026-12-11"),
        ("Friday 15:00", "2026-12-04 or 2026-12-11"),
        ("last Monday", "2026-11-30 or 2026-11-23"),
        ("Dec 24", "2026-12-24 or 2027-12-24"),
        ("24 December", "2026-12-24 or 2027-12-24"),
        ("1.3.26", "2026-03-01"),
    ],
)
def test_a_refused_date_names_what_it_can_be(text, to_do):
    with pytest.raises(InputError) as caught:
        read_moment(text, today=TODAY)
    assert to_do in f"{caught.value} {caught.value.hint}"


def test_a_date_keeps_its_offset():
    early = read_moment("2026-12-01T08:00+01:00", today=TODAY)
    late = read_moment("2026-12-01 08:00 Z", today=TODAY)
    assert "1 hour 0 minutes" in difference(early, late)
    with pytest.raises(InputError, match="offset"):
        difference(early, read_moment("2026-12-01 09:00", today=TODAY))


@pytest.mark.parametrize(
    ("amount", "end"),
    [
        ("1 week -2 days", "2026-12-06"),
        ("-1 month 5 days", "2026-10-27"),
        ("2 weeks + 1 day", "2026-12-16"),
    ],
)
def test_signs_inside_an_amount_count(amount, end):
    assert str(add(TODAY, amount)[0]) == end


def test_m_is_months_or_minutes():
    with pytest.raises(InputError, match="two readings"):
        add(TODAY, "2m")


def test_one_of_a_thing_has_no_plural():
    line = difference(Moment(date(2026, 12, 1)), Moment(date(2027, 1, 9)))
    assert "1 month and 8 days" in line
    assert "5 weeks and 4 days" in line
    assert "1 day (" in difference(Moment(date(2026, 12, 1)), Moment(date(2026, 12, 2)))
    assert add(date(2026, 1, 31), "1 month")[1] == ["February 2026 has 28 days"]
