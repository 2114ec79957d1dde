"""OpenAI's Chat Completions API for the agents."""
