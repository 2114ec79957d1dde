"""What each agent type is: a small spec per agent, and the registry that lists them."""
