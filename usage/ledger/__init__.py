"""The ledger: its database, schema and place."""
