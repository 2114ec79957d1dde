"""Prices of models, with dates and sources."""
