"""The circuit breaker: a pure state machine, where its state is kept, and the circuits at work."""
