"""The dashboard's pages, charts and filters."""
