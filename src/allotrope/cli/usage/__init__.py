"""The commands about usage, reports and feedback."""
