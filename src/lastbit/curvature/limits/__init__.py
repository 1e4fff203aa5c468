"""Stability limits of optimizers, from the companion matrix of their linear update."""
