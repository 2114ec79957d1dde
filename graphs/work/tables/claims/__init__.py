"""Holding the sentences of an answer against query results: what each number is said of."""
