"""Video files: what is in them, frames with exact times, and annotated copies. Knows no torch."""
