"""What a server says of its own health: stores, event loop, threads, and what the machine lacks."""
