"""Methods that differentiate the forward pass."""
