"""Where the live state of threads is kept: LangGraph's checkpoints."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.memory.checkpoints.opening")
