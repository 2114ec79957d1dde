"""Fixtures that every room uses."""
