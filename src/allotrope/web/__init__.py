"""What is served over HTTP: the OpenAI-compatible endpoint, the chat page, status and metrics."""
