"""Connections to PostgreSQL that outlive a restart, and what its errors mean."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.stores.postgres.connections")
