"""Events of a streamed run for whoever listens: LangGraph's `custom` stream."""

import sys
from typing import Any


def emit(event: dict[str, Any]) -> None:
    """Writes an event to the graph's `custom` stream; outside a graph nobody listens.

    Args:
        event: A plain dict with `type`, see docs/contracts.md.
    """
    config = sys.modules.get("langgraph.config")  # not loaded means there is no graph
    if config is None:
        return
    try:
        writer = config.get_stream_writer()
    except (RuntimeError, KeyError, LookupError):
        return
    writer(event)
