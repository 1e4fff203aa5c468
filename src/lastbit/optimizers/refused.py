"""Optimizers that have no linear update, and why: limits refuse them, whichever package they come from."""

from __future__ import annotations

from lastbit.optimizers.registry import register

register("*:Lion", refused="it steps by the sign of its momentum")
register("*:SignSGD", refused="it steps by the sign of the gradient")
register("*:Signum", refused="it steps by the sign of its momentum")
register("*:Rprop", refused="it steps by the sign of the gradient")
register("*:Muon", refused="it orthogonalises its momentum")
register("*:Adafactor", refused="it scales its step by norms of its weights and of its update")
register("*:SparseAdam", refused="it moves only what a sparse gradient touches")
register("*:LBFGS", refused="its preconditioner is built anew by a line search in every step")
