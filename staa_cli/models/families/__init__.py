"""Model families, a folder each: module, attention layout, and key map of its checkpoints."""
