"""The time is right in every zone, and a wrong zone is a sentence."""

from datetime import UTC, datetime

import pytest

from allotrope.agents.tools.clock import clock_tool, describe, find_zone, system_clock
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


@pytest.mark.parametrize(
    "name", ["Atlantis", "../../etc/passwd", "UTC+25", "/etc/localtime", "\x00"]
)
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
