"""The time is right in every zone, and a wrong zone is a sentence."""

from datetime import UTC, datetime

import pytest

from allotrope.agents.tools.clock import (
    clock_tool,
    convert,
    convert_time_tool,
    date_add_tool,
    dates_tool,
    describe,
    find_zone,
    system_clock,
)
from allotrope.agents.tools.zones import look_up
from allotrope.exceptions import InputError

SUMMER = datetime(2026, 7, 1, 22, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "Wednesday, 2026-07-01 22:30:05 (UTC+00:00, week 27)"),
        ("Europe/Berlin", "Thursday, 2026-07-02 00:30:05 (Europe/Berlin, UTC+02:00, week 27)"),
        ("berlin", "Thursday, 2026-07-02 00:30:05 (Europe/Berlin, UTC+02:00, week 27)"),
        ("New York", "Wednesday, 2026-07-01 18:30:05 (America/New_York, UTC-04:00, week 27)"),
        ("UTC+5:30", "Thursday, 2026-07-02 04:00:05 (UTC+05:30, week 27)"),
        ("-3", "Wednesday, 2026-07-01 19:30:05 (UTC-03:00, week 27)"),
    ],
)
def test_zones(zone, text):
    assert describe(SUMMER, find_zone(zone)) == text


def test_local_is_this_machine():
    assert find_zone("local") is None
    assert f"{SUMMER.astimezone():%H:%M:%S}" in describe(SUMMER)


@pytest.mark.parametrize("name", ["Narnia", "../../etc/passwd", "UTC+25", "/etc/localtime", "\x00"])
def test_unknown_zones_are_refused(name):
    with pytest.raises(InputError):
        find_zone(name)


def test_the_tool_reads_the_clock_it_is_given():
    tool = clock_tool(clock=lambda: SUMMER)
    assert tool.invoke({"timezone": "Tokyo"}).startswith("Thursday, 2026-07-02 07:30:05")
    assert "2026" in tool.invoke({})
    assert system_clock().tzinfo is UTC


def test_local_is_the_zone_of_the_run():
    from langgraph.graph import START, StateGraph

    from allotrope.graphs.context import RunContext

    tool = clock_tool(clock=lambda: SUMMER)
    graph = StateGraph(dict, context_schema=RunContext)
    graph.add_node("ask", lambda state: {"said": tool.invoke({})})
    graph.add_edge(START, "ask")
    said = graph.compile().invoke({}, context=RunContext(time_zone="Asia/Tokyo"))["said"]
    assert said.startswith("Thursday, 2026-07-02 07:30:05 (Asia/Tokyo")


@pytest.mark.parametrize(
    ("zone", "clock"),
    [
        ("Munich", "00:30"),
        ("Köln", "00:30"),
        ("Mumbai", "04:00"),
        ("California", "15:30"),
        ("Japan", "07:30"),
        ("ET", "18:30"),
        ("Pacific time", "15:30"),
        ("Paris, Texas", "17:30"),
        ("Washington DC", "18:30"),
    ],
)
def test_cities_states_and_countries(zone, clock):
    assert f"{SUMMER.astimezone(find_zone(zone)):%H:%M}" == clock


@pytest.mark.parametrize("name", ["IST", "USA", "Georgia", "Springfield", "Washington"])
def test_a_name_with_several_zones_is_asked_about(name):
    with pytest.raises(InputError, match="such as"):
        find_zone(name)


def test_an_abbreviation_is_its_offset_and_says_so():
    said = clock_tool(clock=lambda: SUMMER).invoke({"timezone": "PST"})
    assert "14:30:05" in said
    assert "PST is read as Pacific Standard Time" in said
    assert "Philippine Standard Time (UTC+08:00)" in said
    assert "PDT holds" in said


@pytest.mark.parametrize(
    ("time", "source", "target", "there"),
    [
        ("2026-07-10 15:00", "New York", "Berlin", "2026-07-10 21:00"),
        ("2026-03-15 09:00", "New York", "London", "2026-03-15 13:00"),
        ("3pm", "Tokyo", "UTC", "2026-07-02 06:00"),
        ("24 Dec 2026, 6:15 pm", "Los Angeles", "Mumbai", "2026-12-25 07:45"),
        ("noon", "UTC+2", "utc", "2026-07-02 10:00"),
        ("2026-10-25 02:30", "Berlin", "UTC", "the second time it is Sunday, 2026-10-25 01:30"),
    ],
)
def test_a_time_in_another_zone(time, source, target, there):
    assert there in convert(time, source, target, now=SUMMER)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("2026-03-29 02:30", "doesn't exist in Berlin"),
        ("2026-03-29", "no time of day"),
        ("25:00", "no time of day"),
        ("03/04/2026 10:00", "2026-03-04 or 2026-04-03"),
        ("whenever", "no date that can be read"),
    ],
)
def test_times_that_are_none_are_refused(time, words):
    with pytest.raises(InputError, match=words):
        convert(time, "Berlin", "UTC", now=SUMMER)


def test_the_tools_for_dates():
    converted = convert_time_tool(clock=lambda: SUMMER)
    asked = {"time": "12:00", "from_zone": "UTC", "to_zone": "Tokyo"}
    assert "21:00:00 (Asia/Tokyo" in converted.invoke(asked)
    between = dates_tool(clock=lambda: SUMMER)
    assert "177 days" in between.invoke({"start": "2026-07-01", "end": "December 25, 2026"})
    assert "two readings" in between.invoke({"start": "01/02/2026", "end": "today"})
    after = date_add_tool(clock=lambda: SUMMER)
    assert "Saturday, 2026-02-28" in after.invoke({"date": "2026-01-31", "amount": "1 month"})


@pytest.mark.parametrize(
    ("short", "words"),
    [
        ("CST", ["Central Standard Time", "China Standard Time (UTC+08:00)", "Cuba"]),
        ("BST", ["British Summer Time", "Bangladesh Standard Time (UTC+06:00)"]),
        ("AST", ["Atlantic Standard Time", "Arabian Standard Time (UTC+03:00)"]),
        ("ART", ["Argentina Standard Time, UTC-03:00"]),
        ("SST", ["Samoa", "Singapore Standard Time (UTC+08:00)"]),
    ],
)
def test_an_abbreviation_says_what_else_it_stands_for(short, words):
    note = look_up(short, at=SUMMER).note
    assert all(word in note for word in words)


@pytest.mark.parametrize(
    ("name", "words"), [("LNZ", "such as"), ("London, Ontario", "America/Toronto")]
)
def test_a_place_that_is_not_clear_is_refused(name, words):
    with pytest.raises(InputError) as caught:
        look_up(name, at=SUMMER)
    assert words in f"{caught.value} {caught.value.hint}"


def test_an_offset_in_the_time_counts():
    tool = convert_time_tool(clock=lambda: SUMMER)
    given = {"time": "2026-12-24T15:00Z", "from_zone": "UTC", "to_zone": "Berlin"}
    assert "16:00:00 (Europe/Berlin" in tool.invoke(given)
    assert "16:00:00 (Europe/Berlin" in tool.invoke({**given, "from_zone": ""})
    wrong = tool.invoke({"type": "tool_call", "id": "1", "name": tool.name,
                         "args": {**given, "from_zone": "New York"}})  # fmt: skip
    assert wrong.status == "error"
    assert "UTC+00:00" in wrong.content
    assert "UTC-05:00" in wrong.content


def test_an_abbreviation_is_looked_up_for_the_day_of_the_time():
    line = convert("2026-06-15 12:00", "CET", "UTC", now=datetime(2026, 12, 1, tzinfo=UTC))
    assert "CEST holds at that time" in line


def test_now_is_a_time():
    tool = convert_time_tool(clock=lambda: SUMMER)
    assert tool.invoke({"time": "now", "from_zone": "Berlin", "to_zone": "UTC"})
