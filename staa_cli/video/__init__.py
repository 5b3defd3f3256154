"""Video files: metadata, frames with exact times, and annotated copies. Does not import torch."""
