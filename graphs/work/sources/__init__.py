"""Reading what a user names: files, folders and web pages, guarded and bounded."""
