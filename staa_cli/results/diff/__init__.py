"""Two runs over the same videos compared: what has shifted, and whether that passes a gate."""
