"""Statistics: fixed samples, always-valid inference, power."""
