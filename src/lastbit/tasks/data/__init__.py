"""Readers of the built-in data sets: decoded once in a process, standardised, split the same way every time."""
