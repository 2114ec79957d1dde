"""Prices of models, with dates and sources."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.usage.prices.prices")
