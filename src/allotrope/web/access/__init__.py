"""Who may call: credentials, sessions, limits, proxies."""
