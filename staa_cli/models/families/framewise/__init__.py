"""Image transformers of timm, a frame at a time."""
