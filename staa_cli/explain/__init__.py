"""A video to its explanation: plan, clips, attribution, time axis, warnings, provenance."""
