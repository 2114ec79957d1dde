"""Where sandboxed code runs: on this machine, in a container, or elsewhere."""
