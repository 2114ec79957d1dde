"""`create_agent` of LangChain with our memory, failover and usage as middleware.

python examples/middleware.py "What is 2 + 3?"
"""

import sys

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from allotrope import load_settings
from allotrope.middleware import FailoverMiddleware, MemoryMiddleware, UsageMiddleware


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def main(question: str) -> None:
    """Asks the agent.

    Args:
        question: What the user wants.
    """
    settings = load_settings()
    agent = create_agent(
        # never asked: FailoverMiddleware puts the models of the settings in its place
        ChatOpenAI(model="o3", api_key="unused"),  # type: ignore[arg-type]  # a str will do
        [add],
        system_prompt="You are a calculator. Use the tool.",
        middleware=[
            UsageMiddleware(settings=settings, agent="calculator"),
            MemoryMiddleware(budget_tokens=6_000),
            FailoverMiddleware(settings=settings),
        ],
    )
    answer = agent.invoke({"messages": [("human", question)]})["messages"][-1]
    stamp = answer.response_metadata["allotrope"]
    print(answer.text)
    print(f"from {stamp['provider']}, degraded: {bool(stamp['degraded'])}")


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else "What is 2 + 3?")
