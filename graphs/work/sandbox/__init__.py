"""Running code that a model wrote: cut off from network, files and other processes, and bounded."""
