"""One agent as the tool of another: a desk that hands texts to the writer.

python examples/agent_as_tool.py "Get me a slogan of exactly three words for a bakery."
"""

import sys
from typing import Any

from langchain_core.tools import tool

from allotrope import build_agent, load_settings
from allotrope.graphs.assistant import build_graph
from allotrope.graphs.parts import Parts


def build_desk(parts: Parts) -> Any:
    """The tools loop with one tool: another agent. Both share parts: cache, circuits, ledger."""
    writer = build_agent("creative", settings=parts.settings, parts=parts)

    @tool
    def write_text(brief: str) -> str:
        """Has a writer write a text to a brief, and gives the best of its drafts.

        Args:
            brief: What to write: subject, length, words to use or to avoid.
        """
        with writer:
            return writer.ask(brief).answer

    return build_graph(agent="desk", tools=[write_text], parts=parts)


def main(question: str) -> None:
    """Asks the desk.

    Args:
        question: What the user wants.
    """
    parts = Parts(load_settings())
    try:
        state = build_desk(parts).invoke({"messages": [("human", question)]})
    finally:
        parts.close()
    print(state["messages"][-1].text)


if __name__ == "__main__":
    wish = "Get me a slogan of exactly three words for a bakery."
    main(sys.argv[1] if sys.argv[1:] else wish)
