"""Making texts shorter: tool outputs, JSON, long messages, repetitions."""
