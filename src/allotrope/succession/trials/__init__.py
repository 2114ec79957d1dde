"""A trial of two models: running it, measuring, reporting."""
