"""The state machines of the agents: their state, nodes and edges."""
