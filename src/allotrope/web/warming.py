"""What a server opens before it says that it is ready."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from allotrope.support.pools import UPKEEP
from allotrope.usage.prices.prices import PriceBook

if TYPE_CHECKING:
    from allotrope.agents.spec import AgentSpec
    from allotrope.graphs.parts import Parts


async def warm(parts: "Parts", specs: "Iterable[AgentSpec]") -> None:
    """Imports, builds and opens what the first turn of these agents would wait for.

    Args:
        parts: What the agents work with.
        specs: The agents.

    Raises:
        AllotropeError: A store or a setting can't be used.
    """
    for spec in specs:
        await UPKEEP.run(_one, parts, spec)


def _one(parts: "Parts", spec: "AgentSpec") -> None:
    spec.build(parts=parts, checkpointer=None)
    profile = parts.profiles.get(agent=spec.name, own=spec.profile)
    parts.window(profile)  # makes the chain: the provider's libraries, clients and the cache
    parts.memory.counter.text("The vocabulary is read at the first count.")
    parts.memory.archive.threads(parts.settings.tenant)
    PriceBook(quiet=True).price("openai", parts.settings.openai.model)  # reads the price list
