"""Writers of result files: one module per format; all share one decode."""
