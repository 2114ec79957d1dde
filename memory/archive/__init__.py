"""The archive: every message of every thread, in SQLite or PostgreSQL."""
