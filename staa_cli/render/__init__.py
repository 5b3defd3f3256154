"""Pictures: frames with heat and a strip, stills, charts. Does not import torch."""
