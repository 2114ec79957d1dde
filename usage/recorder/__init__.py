"""Recording calls: a LangChain callback handler, its writer, and what waits for the ledger."""

from allotrope.support.moved import names_in

__getattr__ = names_in(
    __name__,
    "allotrope.usage.recorder.recorder",
    from_settings="allotrope.usage.assembly",
)
