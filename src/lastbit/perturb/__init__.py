"""Perturbations of the size of the last bit, which attach to any optimizer through its hooks."""
