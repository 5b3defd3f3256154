"""Checkpoint files: formats, key maps, labels, and processors."""
