"""A turn: its start, its thread's lock, its event loop, and its end."""
