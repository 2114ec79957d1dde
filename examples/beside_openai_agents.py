"""Allotrope and the OpenAI Agents SDK in one process: its agent has ours as a tool.

The SDK is imported as `agents`; ours as `allotrope.agents`, so neither is in the other's way.

    python examples/beside_openai_agents.py "Ask the colleague for the capital of France."
"""

import asyncio
import os
import sys

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

from allotrope import build_agent


async def run(question: str) -> str:
    """The SDK's agent answers, with ours as its colleague.

    Args:
        question: What the user wants.
    """
    set_tracing_disabled(True)  # else the SDK sends each run to OpenAI's servers
    async with (
        AsyncOpenAI(base_url=os.environ.get("OPENAI_BASE_URL"), max_retries=0) as client,
        build_agent("assistant") as colleague,
    ):

        @function_tool
        async def ask_colleague(text: str) -> str:
            """Asks a colleague.

            Args:
                text: The question.
            """
            return (await colleague.aask(text)).answer

        desk = Agent(
            name="desk",
            instructions="Ask the colleague, and pass on the answer.",
            tools=[ask_colleague],
            model=OpenAIChatCompletionsModel(model="gpt-4.1", openai_client=client),
        )
        return str((await Runner.run(desk, question)).final_output)


if __name__ == "__main__":
    question = "Ask the colleague for the capital of France."
    print(asyncio.run(run(sys.argv[1] if sys.argv[1:] else question)))
