"""A/B tests of parameters and prompts, and quality benchmarks."""
