"""One of each thing that a package may add; pyproject.toml declares them."""
