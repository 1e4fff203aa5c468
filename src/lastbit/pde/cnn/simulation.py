"""The result of a simulation: records by step and member, and how each member ended."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.pde.cnn.status import FlowStatus

__all__ = ["Simulation", "mean_relative_l1", "norms"]


@dataclass(frozen=True, eq=False)
class Simulation:
    """What happened. T counts records (`step_T`, the last step included), M members; NaN stands for "not recorded".

    Attributes:
        step_T: steps at which the records were taken, counted from 0, the start.
        status_M: how each ended.
        steps_M: steps each ran; a member that settles or blows up stops early.
        loss_TM: loss with its weight decay term `alpha |K|^2 / 2`.
        data_loss_TM: cross-entropy alone.
        kernel_norm_TM: Euclidean norms.
        twin_difference_TM: mean relative L1 difference to the twin, `mean(2 |a - b| / (|a| + |b|))`.
        twin_distance_TM: mean of `|a - b|`.
        shares_TM3: shares of positions activated, transitioning, not activated.
        sharpness_TM: largest eigenvalue of the Hessian of the loss, weight decay included.
        final_kernel_MCnm: the last kernels.
    """

    step_T: Tensor
    status_M: list[FlowStatus]
    steps_M: Tensor
    loss_TM: Tensor
    data_loss_TM: Tensor
    kernel_norm_TM: Tensor
    twin_difference_TM: Tensor
    twin_distance_TM: Tensor
    shares_TM3: Tensor
    sharpness_TM: Tensor
    final_kernel_MCnm: Tensor


def mean_relative_l1(a_MP: Tensor, b_MP: Tensor) -> Tensor:
    """Return `mean(2 |a - b| / (|a| + |b|))` over all but the first axis, 0 where both entries are 0."""
    a, b = a_MP.double().flatten(1), b_MP.double().flatten(1)
    size = a.abs() + b.abs()
    return torch.where(size > 0, 2 * (a - b).abs() / size.clamp(min=torch.finfo(torch.float64).tiny), 0).mean(1)


def norms(kernel_MCnm: Tensor) -> Tensor:
    """Return Euclidean norms in float64."""
    size: Tensor = torch.linalg.vector_norm(kernel_MCnm.double().flatten(1), dim=1)
    return size
