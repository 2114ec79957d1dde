"""Small things that every package uses: counters, optional libraries, deadlines, tasks."""
