"""Nodes written once for sync and async, model calls, and tool calls."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.graphs.steps.steps")
