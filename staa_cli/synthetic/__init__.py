"""Synthetic event clips with ground truth."""
