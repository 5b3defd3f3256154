"""The command line: parses, validates, calls, computes nothing."""
