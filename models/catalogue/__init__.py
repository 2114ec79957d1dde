"""Which model serves a role, until when, who comes next, and what was learnt of each model here."""
