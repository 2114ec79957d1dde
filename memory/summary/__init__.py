"""The running summary: its form, and writing it beside the conversation."""
