"""Which documents an answer is made from: the cache's tags `doc=` (docs/contracts.md)."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage

READ = "read"
"""The tool that reads a file or a web page."""

MOST = 200
"""Documents named at most; a run over more is invalidated by agent, thread or age."""


def documents_of(state: Mapping[str, Any]) -> list[str]:
    """The documents that the agent has read for what it is about to answer.

    Args:
        state: Of the graph: what the researcher read (`read`), the analyst's data (`files`), and
            what the tool `read` was asked for in the conversation.
    """
    named = [str(one) for one in state.get("read") or ()]
    named += [str(one) for one in state.get("files") or ()]
    for message in state.get("messages") or ():
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                source = call["args"].get("source") if call["name"] == READ else None
                if isinstance(source, str) and source:
                    named.append(source)
    return list(dict.fromkeys(named))[:MOST]
