"""The chat models of each provider, what each of them accepts, and their HTTP clients."""
