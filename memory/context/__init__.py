"""The context window: its budget, and which messages go into a prompt."""
