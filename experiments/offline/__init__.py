"""Offline experiments: a dataset, variants, scorers, results, and the report."""
