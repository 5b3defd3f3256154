"""Results in the formats of other tools: one module per format, written without these tools."""
