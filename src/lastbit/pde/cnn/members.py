"""The members of an ensemble from what a caller gave: one value for all, or one per member."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn.flow import dtype_named
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels

__all__ = ["members_of"]


def members_of(
    problem: CnnProblem,
    lr: float | Sequence[float] | Tensor,
    weight_decay: float | Sequence[float] | Tensor,
    kernel: Tensor | None,
    dtype: str | Sequence[str],
) -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """Return learning rates, weight decays, kernels and formats of all members, checked."""
    lr_M = torch.as_tensor(lr, dtype=torch.float64).reshape(-1)
    decay_M = torch.as_tensor(weight_decay, dtype=torch.float64).reshape(-1)
    names = [dtype] if isinstance(dtype, str) else list(dtype)
    start = initial_kernels(problem)[0] if kernel is None else kernel
    if start.ndim == 2:
        start = start[None]
    if start.ndim == 3:
        start = start[None]
    if tuple(start.shape[1:]) != problem.kernel_shape:
        needed = ", ".join(map(str, problem.kernel_shape))
        raise LastbitError(f"a kernel of shape {tuple(start.shape)} does not fit: use [{needed}] or [M, {needed}]")
    counts = {"lr": len(lr_M), "weight_decay": len(decay_M), "dtype": len(names), "kernel": len(start)}
    members = max(counts.values())
    for what, count in counts.items():
        if count not in (1, members):
            raise LastbitError(f"{count} values of {what} for {members} members: give one, or one per member")
    for name in names:
        dtype_named(name)
    wrong = lr_M[~(torch.isfinite(lr_M) & (lr_M > 0))]
    if len(wrong):
        raise LastbitError(f"lr = {wrong[0]:g}: use a positive, finite learning rate")
    if not bool(torch.isfinite(decay_M).all()):
        raise LastbitError("weight_decay is not finite: use a number")
    if not bool(torch.isfinite(start).all()):
        raise LastbitError("the start kernel holds NaN or infinite values")
    return (
        lr_M.expand(members),
        decay_M.expand(members),
        start.expand(members, *start.shape[1:]),
        names * (members if len(names) == 1 else 1),
    )
