"""Waiting for a model: for permission, a first token, a queue, or as long as a provider asks."""
