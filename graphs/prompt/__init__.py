"""The prompt of a model call: the template, the context slots, and what fits the window."""
