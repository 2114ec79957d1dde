"""Where templates come from: files, a database, LangSmith's hub."""
