"""lastbit inside the tools of others; each is imported when it is asked for."""
