"""Names of what a run carries, for packages that don't know each other."""

TRAIL = "__allotrope_trail"
"""The list that collects the failures of a chain's run: models fill it, budgets add to it."""

STREAMS = "__allotrope_streams"
"""The list of a chain's streams under way, so that closing the chain's closes theirs."""

END_USER = "::"
"""In a user's name, between the user of a credential and what its client calls the person: budgets
and limits are the user's, facts and threads are the person's."""
