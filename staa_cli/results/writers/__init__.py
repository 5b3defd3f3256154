"""What is written for an explanation: one file a format, fed by one decode."""
