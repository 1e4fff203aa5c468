"""Stability limits of optimizers, from the companion matrix of their linear update."""

from lastbit.curvature.limits.live import GroupLimit, StabilityLimit, stability_limit

__all__ = ["GroupLimit", "StabilityLimit", "stability_limit"]
