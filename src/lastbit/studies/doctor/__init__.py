"""Why two runs of a program with the same seed differ: where, by what, and what cures it."""
