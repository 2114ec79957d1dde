"""Reports, alerts, and where they are sent."""
