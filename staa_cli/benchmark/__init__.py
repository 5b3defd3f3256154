"""Methods on data sets: quality, cost, the resumable store, tables."""
