"""Methods that read attention in one forward pass."""
