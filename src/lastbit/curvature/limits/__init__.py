"""Stability limits of optimizers, from the companion matrix of their linear update."""

from lastbit.curvature.limits.linear_update import LinearUpdate
from lastbit.curvature.limits.live import GroupLimit, StabilityLimit, stability_limit
from lastbit.curvature.limits.rules import UpdateRule, register_linear_update

__all__ = ["GroupLimit", "LinearUpdate", "StabilityLimit", "UpdateRule", "register_linear_update", "stability_limit"]
