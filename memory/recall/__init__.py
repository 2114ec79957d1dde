"""Recall: which archived messages bear on the question."""
