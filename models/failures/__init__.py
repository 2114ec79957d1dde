"""What a provider's error means, what is done about it, and what people are told."""
