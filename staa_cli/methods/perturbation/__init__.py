"""Methods that ask the model about altered copies of a clip."""
