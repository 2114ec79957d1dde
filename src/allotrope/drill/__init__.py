"""The outage drill: scripted outages against the user's own settings."""
