"""Tables from files: reading, profiling, read-only SQL, checking numbers, drawing."""
