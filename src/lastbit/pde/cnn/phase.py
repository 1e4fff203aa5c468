"""The phase diagram of the non-linear flow: how each (learning rate, weight decay) ends, and the curves of theory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.builtin_schemes import EULER
from lastbit.pde.cnn.fixed_point import find_fixed_points
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels
from lastbit.pde.cnn.status import FlowStatus
from lastbit.pde.cnn.time_loop import simulate
from lastbit.pde.schemes import TimeScheme

__all__ = ["PhaseDiagram", "phase_diagram"]


@dataclass(frozen=True, eq=False)
class PhaseDiagram:
    """How the members ended over a grid of learning rates and weight decays.

    Attributes:
        lr_E: learning rates.
        weight_decay_A: weight decays.
        status_AE: indices into the `FlowStatus` in their order.
        loss_AE: loss after the last step, weight decay included; NaN where diverged.
        twin_difference_AE: mean relative L1 difference to the twin at the end; NaN without twins or where diverged.
        theory_low_A: `L / lambda_max(H + alpha)` at the fixed point, or `L / alpha` if smaller; NaN where alpha <= 0 or
            no fixed point was found.
        theory_high_A: `L / alpha`; NaN where alpha <= 0.
        steps: of every member, at most.
    """

    lr_E: Tensor
    weight_decay_A: Tensor
    status_AE: Tensor
    loss_AE: Tensor
    twin_difference_AE: Tensor
    theory_low_A: Tensor
    theory_high_A: Tensor
    steps: int

    def agreement(self) -> float:
        """Return the share of decided members whose status is what the curves say, over rows where both are known."""
        known = torch.isfinite(self.theory_low_A) & torch.isfinite(self.theory_high_A)
        low, high = self.theory_low_A[known, None], self.theory_high_A[known, None]
        said, found = (self.lr_E > low).long() + (self.lr_E > high).long(), self.status_AE[known]
        decided = found != list(FlowStatus).index(FlowStatus.UNDECIDED)
        return float((said == found)[decided].double().mean()) if bool(decided.any()) else float("nan")


def phase_diagram(
    problem: CnnProblem,
    *,
    lrs: Sequence[float] | Tensor,
    weight_decays: Sequence[float] | Tensor,
    steps: int = 400,
    kernel: Tensor | None = None,
    twin: int | None = None,
    scheme: TimeScheme = EULER,
    dtype: str = "float64",
    progress: Callable[[int, int], None] | None = None,
) -> PhaseDiagram:
    """Simulate every pair as one member of one ensemble, and compute the two curves.

    Args:
        problem: images, labels, activation.
        lrs: learning rates.
        weight_decays: weight decays; non-positive ones have no curve.
        steps: of each member.
        kernel: `[C, n, m]`, the start of all; the standard normal kernel of seed 0 when None.
        twin: odd factor of the twins.
        scheme: of the steps.
        dtype: format of the simulation.
        progress: called with (steps done, steps).

    Raises:
        LastbitError: an empty axis, or settings the simulation refuses.
    """
    lr_E = torch.as_tensor(lrs, dtype=torch.float64).reshape(-1)
    decay_A = torch.as_tensor(weight_decays, dtype=torch.float64).reshape(-1)
    if not len(lr_E) or not len(decay_A):
        raise LastbitError("a phase diagram needs at least one learning rate and one weight decay")
    start = (initial_kernels(problem)[0] if kernel is None else kernel).reshape(problem.kernel_shape)
    run = simulate(
        problem,
        lr=lr_E.repeat(len(decay_A)),
        weight_decay=decay_A.repeat_interleave(len(lr_E)),
        steps=steps,
        kernel=start,
        twin=twin,
        scheme=scheme,
        record_every=0,
        dtype=dtype,
        progress=progress,
    )
    grid = (len(decay_A), len(lr_E))
    order = list(FlowStatus)
    status = torch.tensor([order.index(one) for one in run.status_M]).reshape(grid)
    limit = scheme.step_limit()
    damped = decay_A > 0
    low_A = torch.full_like(decay_A, float("nan"))
    if bool(damped.any()):
        starts = start.expand(int(damped.sum()), *start.shape)
        sharpness_A = find_fixed_points(problem, decay_A[damped], starts).sharpness_M.double().cpu()
        # min keeps NaN: where no fixed point was found there is no curve.
        low_A[damped] = torch.minimum(limit / sharpness_A, limit / decay_A[damped])
    return PhaseDiagram(
        lr_E=lr_E,
        weight_decay_A=decay_A,
        status_AE=status,
        loss_AE=_unless_diverged(run.loss_TM[-1], status),
        twin_difference_AE=_unless_diverged(run.twin_difference_TM[-1], status),
        theory_low_A=low_A,
        theory_high_A=torch.where(damped, limit / decay_A, float("nan")),
        steps=steps,
    )


def _unless_diverged(values_M: Tensor, status_AE: Tensor) -> Tensor:
    diverged = status_AE == list(FlowStatus).index(FlowStatus.DIVERGED)
    return values_M.cpu().reshape(status_AE.shape).masked_fill(diverged, float("nan"))
