"""What of a request counts: its route, its writing, and whether its answer lasts."""
