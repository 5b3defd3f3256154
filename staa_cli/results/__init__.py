"""Result folders: what is written there, whose it is, and how it is read back. Knows no torch."""
