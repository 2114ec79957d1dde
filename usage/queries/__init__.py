"""Reading the ledger: sums, single calls, exports."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.usage.queries.sums")
