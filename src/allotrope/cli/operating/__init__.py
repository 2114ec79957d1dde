"""The commands about cache, memory, keys, profiles, prompts and circuits."""
