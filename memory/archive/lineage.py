"""Which messages of an archived thread are the past of a branch. Pure functions.

A message follows the one archived before it, except where a branch began: there the archive keeps
what it follows. So the past of any message is a few stretches of positions, and all of a thread
that was never forked is one stretch.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Lineage:
    """The positions of a message and of all before it.

    Args:
        spans: First and last position of each stretch, in order.
    """

    spans: tuple[tuple[int, int], ...]

    def __contains__(self, seq: int) -> bool:
        return any(first <= seq <= last for first, last in self.spans)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.spans)

    def beyond(self, seq: int) -> list[int]:
        """The positions after one, in order.

        Args:
            seq: One of the lineage, or -1 for all.
        """
        return [one for first, last in self.spans for one in range(max(first, seq + 1), last + 1)]


def lineage(tip: int, forks: Mapping[int, int]) -> Lineage:
    """The past of a message, itself included.

    Args:
        tip: Its position.
        forks: Where branches began: position of the first message to position of what it follows.
    """
    spans: list[tuple[int, int]] = []
    begins = sorted(forks, reverse=True)
    while tip >= 0:
        first = next((seq for seq in begins if seq <= tip), None)
        spans.append((0 if first is None else first, tip))
        if first is None:
            break
        tip = min(forks[first], first - 1)
    return Lineage(tuple(reversed(spans)))
