"""Benchmarks of methods on data sets: quality, cost, the resumable store, and tables."""
