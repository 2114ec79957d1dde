"""Recommendations from the ledger."""
