"""The archive: every message of every thread, in SQLite or PostgreSQL."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.memory.archive.archive")
