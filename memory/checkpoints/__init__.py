"""Where the live state of threads is kept: LangGraph's checkpoints."""
