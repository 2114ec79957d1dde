"""A succession in one sentence."""

from collections.abc import Mapping


def in_place_of(succession: Mapping[str, str]) -> str:
    """Who answered in whose place, and why.

    Args:
        succession: The field of a reply: `from`, `to` and `reason`.
    """
    wanted, answered = succession["from"], succession["to"]
    if succession["reason"] == "refused":
        return f"The provider no longer offers {wanted}; {answered} answered in its place."
    return f"{wanted} has ended; {answered} answered in its place."
