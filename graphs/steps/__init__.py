"""Nodes written once for sync and async, model calls, and tool calls."""
