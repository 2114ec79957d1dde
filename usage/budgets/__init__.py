"""Budgets: periods, reservations, and the guard that refuses a call."""
