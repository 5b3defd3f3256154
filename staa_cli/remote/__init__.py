"""Files at URLs: addresses, the file systems of fsspec, and the cache of downloads."""
