"""Methods that pass perturbed copies of a clip through the model."""
