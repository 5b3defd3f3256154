"""Methods that ask the model about perturbed copies of a clip."""
