"""Explain a video: plan, clips, attribution, time axis, warnings, provenance."""
