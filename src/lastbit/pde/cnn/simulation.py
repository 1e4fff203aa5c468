"""The result of a simulation: records by step and member, and how each member ended."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lastbit.pde.cnn.status import FlowStatus

__all__ = ["Simulation", "mean_relative_l1", "merged", "norms"]


@dataclass(frozen=True, eq=False)
class Simulation:
    """What happened. T counts records (`step_T`, the last step included), M members; NaN stands for "not recorded".

    Attributes:
        step_T: steps at which the records were taken, counted from 0, the start.
        lr_M: learning rates.
        weight_decay_M: weight decays.
        dtype_M: formats.
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
    lr_M: Tensor
    weight_decay_M: Tensor
    dtype_M: list[str]
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


def merged(parts: list[tuple[Tensor, Simulation]]) -> Simulation:
    """Put the members of several runs, each with its members' places, back in order."""
    order = torch.argsort(torch.cat([index for index, _ in parts]))
    together: dict[str, object] = {"step_T": parts[0][1].step_T}
    for field in fields(Simulation):
        values = [getattr(part, field.name) for _, part in parts]
        if field.name.endswith("_TM") or field.name.endswith("_TM3"):
            together[field.name] = torch.cat(values, dim=1)[:, order.to(values[0].device)]
        elif field.name in ("dtype_M", "status_M"):
            flat = [item for value in values for item in value]
            together[field.name] = [flat[i] for i in order.tolist()]
        elif field.name != "step_T":
            together[field.name] = torch.cat([v.double() if v.is_floating_point() else v for v in values])[
                order.to(values[0].device)
            ]
    return Simulation(**together)  # type: ignore[arg-type]
