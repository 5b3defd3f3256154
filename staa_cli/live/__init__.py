"""Explanations of a stream: windows of its frames, drawn on every frame, and how late that is."""
