"""Where a stream goes: encoded video, and lines of JSON."""
