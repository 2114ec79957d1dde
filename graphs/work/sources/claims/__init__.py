"""Holding a claim against its source: figures, names, negation, direction, order of roles."""
