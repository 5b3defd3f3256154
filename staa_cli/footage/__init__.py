"""Real videos as clips for a model."""
