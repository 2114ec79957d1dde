"""An agent that runs elsewhere, behind LangGraph's server, used like a local graph.

make studio                                   # or: langgraph dev
python examples/remote_graph.py http://127.0.0.1:2024 "What is the capital of France?"
"""

import sys

from langgraph.pregel.remote import RemoteGraph


def main(url: str, question: str) -> None:
    """Asks the assistant at a server.

    Args:
        url: Where the server is.
        question: What the user wants.
    """
    assistant = RemoteGraph("assistant", url=url)
    state = assistant.invoke({"messages": [{"role": "user", "content": question}]})
    provenance = state["provenance"]
    print(state["messages"][-1]["content"])
    print(f"from {provenance['provider']}, {provenance['model']}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
