"""TimeSformer: divided attention over space and time."""
