"""Counting tokens: of text, messages, images and tool schemas."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.memory.tokens.counting")
