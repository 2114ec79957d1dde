"""What the simulator answers: texts, tokens, embeddings, models."""
