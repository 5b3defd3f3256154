"""Result folders: writing, ownership, and reading back. Does not import torch."""
