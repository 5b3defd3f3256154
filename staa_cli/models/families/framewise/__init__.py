"""Image transformers from timm, applied frame by frame."""
