"""Event clips with ground truth, and the training of the bundled model on them."""
