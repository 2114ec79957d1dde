"""The commands about experiments, benchmarks and drills."""
