"""What the assistant can do besides talking; each module makes one tool for an agent's list."""

from allotrope.agents.tools.arithmetic import arithmetic_tool
from allotrope.agents.tools.clock import clock_tool, convert_time_tool, date_add_tool, dates_tool
from allotrope.agents.tools.reading import reading_tool
from allotrope.agents.tools.units import units_tool

__all__ = [
    "arithmetic_tool",
    "clock_tool",
    "convert_time_tool",
    "date_add_tool",
    "dates_tool",
    "reading_tool",
    "units_tool",
]
