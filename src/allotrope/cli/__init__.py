"""The `allotrope` command."""

from allotrope.cli.app import main

__all__ = ["main"]
