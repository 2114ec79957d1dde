"""Counting tokens: of text, messages, images and tool schemas."""
