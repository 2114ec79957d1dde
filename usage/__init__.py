"""Tokens to money: recorder, ledger, prices, budgets, alerts, reports and recommendations."""
