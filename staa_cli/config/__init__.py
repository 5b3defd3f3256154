"""Settings: what may be set, the defaults, and where every value came from. Knows no torch."""
