"""Parameter profiles: YAML files, how they are found and chosen, and what is sent of them."""
