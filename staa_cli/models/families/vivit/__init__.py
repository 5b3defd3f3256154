"""ViViT, model 1: joint attention over tubelets, with a class token."""
