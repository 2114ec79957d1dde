"""What the assistant can do besides talking; each module makes one tool for an agent's list."""

from allotrope.agents.tools.arithmetic import arithmetic_tool
from allotrope.agents.tools.clock import clock_tool

__all__ = ["arithmetic_tool", "clock_tool"]
