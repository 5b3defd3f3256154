"""Real videos as clips for a model: one of each, or of whole folders with classes."""
