"""Recording calls: a LangChain callback handler, its writer, and what waits for the ledger."""
