"""Settings with their defaults, limits, and origins. Does not import torch."""
