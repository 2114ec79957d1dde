"""What agents work with: constraints, documents, tables, sources, a sandbox. No state machines."""
