"""Connections to PostgreSQL that outlive a restart, and what its errors mean."""
