"""Pages for browsers, each one file that needs no server and no network."""
