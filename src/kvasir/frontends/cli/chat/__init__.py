"""The terminal chat: free of click, so that any command line can open it with its settings."""
