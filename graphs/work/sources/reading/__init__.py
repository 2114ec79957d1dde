"""Reading files and web pages: addresses, formats, conversion in the sandbox."""
