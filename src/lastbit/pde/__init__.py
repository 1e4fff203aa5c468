"""Partial differential equations: linear schemes, the CNN gradient-descent PDE, deep networks."""
