"""Where answers lie: Redis or this process's memory, behind the same commands."""
