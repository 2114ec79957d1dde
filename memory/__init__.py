"""The context window: counting, archive, recall, summarising, compression and packing."""
