"""The chat page, its threads, and turns as streams of events."""
