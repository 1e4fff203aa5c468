"""Where the non-linear flow comes to rest, and how sharp the loss is there.

The fixed point is followed with small steps, each 1 over the local sharpness, so that it is the one that the flow
itself reaches from the given start, and no other. Its sharpness sets the edge of stability: steps above
`limit / lambda_max(H + alpha)` cannot stay there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn.flow import CnnFlow
from lastbit.pde.cnn.linearisation import linearise_at
from lastbit.pde.cnn.problem import CnnProblem
from lastbit.pde.cnn.simulation import norms
from lastbit.pde.lanczos import extreme_eigenpairs

__all__ = ["FixedPoints", "find_fixed_points"]

_STEPS_PER_ROUND = 25


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """Fixed points of the flow, one per member.

    Attributes:
        kernel_MCnm: the fixed points.
        sharpness_M: largest eigenvalue of the Hessian of the loss there, weight decay included; NaN where not found.
        smallest_M: smallest eigenvalue; negative at a saddle.
        residual_M: norm of the gradient relative to the scale `tolerance` is meant for.
        found_M: whether the residual is within the tolerance.
    """

    kernel_MCnm: Tensor
    sharpness_M: Tensor
    smallest_M: Tensor
    residual_M: Tensor
    found_M: Tensor


def find_fixed_points(
    problem: CnnProblem,
    weight_decay_M: Tensor,
    kernel_MCnm: Tensor,
    *,
    tolerance: float = 1e-9,
    max_steps: int = 5000,
) -> FixedPoints:
    """Follow the flow from each start to rest.

    Args:
        problem: images, labels, activation.
        weight_decay_M: positive; without damping there is no fixed point.
        kernel_MCnm: the starts.
        tolerance: of the gradient, relative to the sum of the norms of its data and decay parts, or to a thousandth of
            that sum after the first steps, if this is larger.
        max_steps: after which a member counts as not found.

    Raises:
        LastbitError: a weight decay that is not positive.
    """
    if not bool((weight_decay_M > 0).all()):
        raise LastbitError(f"weight decay = {float(weight_decay_M.min()):g}: a fixed point needs a positive one")
    flow = CnnFlow(problem)
    K = kernel_MCnm.to(flow.problem.images_BCHW).clone()
    decay = weight_decay_M.to(K)
    residual, caution = torch.full_like(decay, float("inf")), torch.ones_like(decay)
    first = torch.zeros_like(decay)
    active = torch.arange(len(K), device=K.device)
    for done in range(0, max_steps, _STEPS_PER_ROUND):
        start, alpha = K[active], decay[active]
        J = linearise_at(flow.problem, start, flow.correlator)
        ends = extreme_eigenpairs(J, tuple(start.shape), like=K, tolerance=1e-2)
        reach = torch.maximum(ends.high_M, -ends.low_M).clamp(min=0) + alpha
        end, descent, parts, left = _descend(flow, start, alpha, 1 / (caution[active] * reach))
        if done == 0:
            first = parts
        # Where the fixed point is the zero kernel both parts vanish together: then the start sets the scale.
        scale = torch.maximum(parts, 1e-3 * first[active]).clamp(min=torch.finfo(torch.float64).tiny)
        residual[active] = left / scale
        # A round that lowered neither loss nor gradient overstepped a sharper place: go back, take shorter steps.
        kept = descent | (residual[active] <= tolerance)
        K[active] = torch.where(kept[:, None, None, None], end, start)
        caution[active] = torch.where(kept, (caution[active] / 2).clamp(min=1), 4 * caution[active])
        residual[active] = torch.where(kept, residual[active], float("inf"))
        active = (residual > tolerance).nonzero()[:, 0]
        if not len(active):
            break
    found = residual <= tolerance
    ends = extreme_eigenpairs(linearise_at(flow.problem, K, flow.correlator), tuple(K.shape), like=K)
    sharpness = torch.where(found & ends.converged_M, ends.high_M + decay, float("nan"))
    return FixedPoints(K, sharpness, ends.low_M + decay, residual, found)


def _descend(
    flow: CnnFlow, start_MCnm: Tensor, alpha_M: Tensor, step_M: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take a round of steps; return the kernels, whether loss or gradient fell, and the norms of parts and gradient."""
    decay, step = alpha_M[:, None, None, None], step_M[:, None, None, None]
    K, losses, sizes = start_MCnm, [], []
    for _ in range(_STEPS_PER_ROUND):
        gradient, data_loss = flow.gradient(K)
        losses.append(data_loss + alpha_M / 2 * norms(K).square())
        full = gradient + decay * K
        parts = norms(gradient) + norms(decay * K)
        sizes.append(norms(full))
        K = K - step * full
    # Near the fixed point the loss changes by less than its rounding while the gradient still falls.
    return K, (losses[-1] < losses[0]) | (sizes[-1] < sizes[0]), parts, sizes[-1]
