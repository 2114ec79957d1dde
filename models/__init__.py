"""The chat models: o3 settings, profiles, and the chain with its cache, breaker and fallbacks."""
