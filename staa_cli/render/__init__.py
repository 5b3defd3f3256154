"""Pictures: frames with heat and a strip, stills, charts. Knows no torch."""
