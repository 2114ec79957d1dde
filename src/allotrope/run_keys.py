"""Names of what a run carries in `configurable`, for rooms that don't know each other."""

TRAIL = "__allotrope_trail"
"""The list that collects the failures of a chain's run: models fill it, budgets add to it."""

STREAMS = "__allotrope_streams"
"""The list of a chain's streams under way, so that closing the chain's closes theirs."""
