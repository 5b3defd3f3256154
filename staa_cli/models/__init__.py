"""Video transformers: families, checkpoints, a catalog of names, and what loads them."""
