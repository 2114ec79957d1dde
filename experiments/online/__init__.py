"""Online experiments: assignment, exposures, traffic, guard-rails."""
