"""The prompt templates, as text files, and the library that loads, versions and renders them."""
