"""Where things are kept: the data folder and the Redis connection that all packages share."""
