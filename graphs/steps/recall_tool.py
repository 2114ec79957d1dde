"""The tool with which an agent looks into the archive of its own thread."""

from typing import TYPE_CHECKING, Annotated

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.runtime import get_runtime

from allotrope.graphs.context import context_of_run
from allotrope.memory.checkpoints.threads import thread_id

if TYPE_CHECKING:
    from allotrope.graphs.parts import LazyParts

RECALL = "recall_memory"
"""The tool's name."""


def recall_tool(parts: "LazyParts") -> BaseTool:
    """Searches earlier messages of the thread; `#12` opens one of them whole.

    Args:
        parts: Where the memory is; opened at the first call.
    """

    def search(
        query: Annotated[str, "What to look for, or #NUMBER to open one message whole."],
        config: RunnableConfig,
    ) -> str:
        thread = thread_id(config.get("configurable", {}))
        if not thread:
            return "This conversation isn't kept, so there is nothing earlier to look for."
        ready = parts.get()
        tenant = context_of_run(get_runtime(), tenant=ready.settings.tenant).tenant
        return ready.memory.search(query, thread=thread, tenant=tenant)

    return StructuredTool.from_function(
        search,
        name=RECALL,
        description="Search earlier messages of this conversation that are no longer in view.",
    )
