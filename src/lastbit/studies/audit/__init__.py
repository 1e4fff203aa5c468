"""Is my result noise? Last-bit spread against seed spread."""
