"""Real videos as clips for a model: single videos, or folders with classes."""
