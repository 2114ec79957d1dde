"""A LangGraph graph of your own with our analyst as a node.

python examples/parent_graph.py sales.csv "Which city sold most?"
"""

import sys
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from allotrope import RunContext, load_settings
from allotrope.graphs.analyst import build_graph
from allotrope.graphs.parts import Parts


def headline(state: MessagesState) -> dict[str, Any]:
    """A node of the parent: the first line of the analyst's answer, in capitals."""
    first = state["messages"][-1].text.strip().split("\n", 1)[0]
    return {"messages": [AIMessage(first.upper())]}


def build_parent(parts: Parts) -> Any:
    """analyst → headline; both work on the same `messages`."""
    graph = StateGraph(MessagesState, context_schema=RunContext)
    graph.add_node("analyst", build_graph(parts=parts))
    graph.add_node("headline", headline)
    graph.add_edge(START, "analyst")
    graph.add_edge("analyst", "headline")
    graph.add_edge("headline", END)
    return graph.compile()


def main(file: str, question: str) -> None:
    """Asks the parent about a file.

    Args:
        file: A data file in the working folder.
        question: What to find out.
    """
    parts = Parts(load_settings())
    try:
        state = build_parent(parts).invoke(
            {"messages": [("human", f"{question} The data is in {file}.")]},
            context=RunContext(tenant="newsroom"),
        )
    finally:
        parts.close()
    print(state["messages"][-1].text)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
