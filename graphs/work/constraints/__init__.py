"""Constraints of a brief that a program can check: read from the brief, said, and counted."""

from allotrope.graphs.work.constraints.checking import broken, unchecked
from allotrope.graphs.work.constraints.counting import count
from allotrope.graphs.work.constraints.kinds import MOST, Constraint, sentence
from allotrope.graphs.work.constraints.reading import Understood, read, understood
from allotrope.graphs.work.constraints.saying import corrected, rest_told, told, verdict

__all__ = [
    "MOST",
    "Constraint",
    "Understood",
    "broken",
    "corrected",
    "count",
    "read",
    "rest_told",
    "sentence",
    "told",
    "unchecked",
    "understood",
    "verdict",
]
