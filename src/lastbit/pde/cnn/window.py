"""The learning rates at which the non-linear flow converges, is restrained, and blows up, found by simulation.

Theory beside it, for a scheme of step limit `L` (2 for Euler) and weight decay alpha:

- *lower end*, `L / lambda_max(H + alpha)` at the fixed point: above it the linearised flow there is unstable, and the
  flow cannot settle. (A run that happens to come close to such a fixed point may look settled until it leaves again.)
- *upper end*, at least `L / alpha`. The gradient of the data loss is bounded, `|grad| <= G`, for `|a| <= 1` and
  `|r'| <= 1.0998`. So an Euler step obeys `|K'| <= |1 - dt alpha| |K| + dt G`: for `dt < 2 / alpha` the flow ends up
  within `dt G / (1 - |1 - dt alpha|)`, however unstable its fixed point. That is restraint. For `dt > 2 / alpha` the
  same terms give `|K'| >= |1 - dt alpha| |K| - dt G`: once the kernel is large it grows forever, and a part of it
  that no patch of the image sees is damped by alpha alone and grows at once. Where such a part exists (a
  checkerboard, any image with fewer independent patches than the window has entries) the end is exactly
  `L / alpha`; where there is none the flow may stay bounded a few percent further, depending on its start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.builtin_schemes import EULER
from lastbit.pde.cnn.fixed_point import find_fixed_points
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels
from lastbit.pde.cnn.status import FlowStatus
from lastbit.pde.cnn.time_loop import simulate
from lastbit.pde.schemes import TimeScheme

__all__ = ["Window", "find_window"]

_SCAN = 12
"""Learning rates of the first, coarse scan: from 1/100 of the upper end's theory to twice it."""
_SECTION = 5
"""Learning rates tried inside each bracket per round."""
_DEEPEST = 1e-5
"""Learning rate, relative to the upper end's theory, below which no fixed point is searched for."""
_ROUNDS = 14
"""Rounds at most; each narrows a bracket sixfold."""


@dataclass(frozen=True)
class Window:
    """Both ends of the window, simulated and predicted. None stands for "there is none in the range scanned".

    Attributes:
        weight_decay: alpha.
        converges_below: learning rate below which every simulated member converged.
        blows_up_above: learning rate from which on the simulated members diverge.
        theory_low: `L / lambda_max(H + alpha)` at the fixed point, or `theory_high` where that is smaller: the fixed
            point may be stable beyond, but a flow that starts far from it need not come near.
        theory_high: `L / alpha`.
        sharpness: `lambda_max(H + alpha)` at the fixed point.
        rtol: width of each bracket relative to its middle.
        tried: every learning rate simulated and its status, in order.
    """

    weight_decay: float
    converges_below: float | None
    blows_up_above: float | None
    theory_low: float | None
    theory_high: float
    sharpness: float | None
    rtol: float
    tried: tuple[tuple[float, FlowStatus], ...]

    @property
    def low_range(self) -> tuple[float, float] | None:
        """Between which learning rates the flow stops to converge; None where that is undecided.

        It is `(0, first)` or `(last, inf)` where that lies outside of the rates tried.
        """
        return self._range(FlowStatus.CONVERGED)

    @property
    def high_range(self) -> tuple[float, float] | None:
        """Likewise between which it begins to blow up."""
        return self._range(FlowStatus.DIVERGED)

    def _range(self, status: FlowStatus) -> tuple[float, float] | None:
        downwards = status is FlowStatus.DIVERGED
        if edge := _edge(dict(self.tried), status, downwards=downwards):
            return edge
        (first, _), (last, _) = self.tried[0], self.tried[-1]
        found = self.tried[-1 if downwards else 0][1]
        if found is FlowStatus.UNDECIDED:
            return None
        return (last, math.inf) if (found is status) is not downwards else (0.0, first)


def find_window(
    problem: CnnProblem,
    *,
    weight_decay: float,
    kernel: Tensor | None = None,
    scheme: TimeScheme = EULER,
    steps: int = 800,
    rtol: float = 2.5e-3,
    progress: Callable[[int, int], None] | None = None,
) -> Window:
    """Bisect both ends of the window on simulations from one start.

    Near an end the flow turns from decay to growth by a factor `1 +- 2 rtol` per step, so `steps` should be above
    `1 / rtol`: with fewer the status rule cannot tell.

    Args:
        problem: images, labels, activation.
        weight_decay: positive.
        kernel: `[C, n, m]`, the start; the standard normal kernel of seed 0 when None.
        scheme: of the steps.
        steps: per member and round.
        rtol: width of the final brackets.
        progress: called with (rounds done, rounds expected).

    Raises:
        LastbitError: a weight decay that is not positive, or an rtol the steps cannot resolve.
    """
    if not (math.isfinite(weight_decay) and weight_decay > 0):
        raise LastbitError(
            f"weight decay = {weight_decay:g}: use a positive one; without damping nothing restrains the flow"
        )
    if not 1 / steps <= rtol <= 0.5:
        raise LastbitError(f"rtol = {rtol:g} with {steps} steps: use one from {1 / steps:.2g} (1/steps) to 0.5")
    limit = scheme.step_limit()
    start = initial_kernels(problem)[0] if kernel is None else kernel
    start = start.reshape(problem.kernel_shape)
    fixed = find_fixed_points(problem, torch.tensor([weight_decay], dtype=torch.float64), start[None])
    sharpness = float(fixed.sharpness_M[0])
    high = limit / weight_decay
    expected = 2 + math.ceil(math.log(0.62 / rtol) / math.log(_SECTION + 1))
    tried: dict[float, FlowStatus] = {}
    wanted = (high * torch.logspace(-2, math.log10(2), _SCAN, dtype=torch.float64)).tolist()
    for done in range(_ROUNDS):
        if progress is not None:
            progress(min(done, expected - 1), expected)
        run = simulate(
            problem,
            lr=wanted,
            weight_decay=weight_decay,
            steps=steps,
            kernel=start,
            scheme=scheme,
            record_every=0,
        )
        tried.update(zip(wanted, run.status_M, strict=True))
        lowest = min(tried)
        if tried[lowest] is not FlowStatus.CONVERGED and lowest > _DEEPEST * high:
            wanted = (lowest * torch.logspace(-1.6, -0.2, 8, dtype=torch.float64)).tolist()
            continue
        brackets = [edge for edge in _edges(tried) if edge is not None]
        open_ends = [edge for edge in dict.fromkeys(brackets) if edge[1] - edge[0] > rtol * edge[1]]
        wanted = [x for lower, upper in open_ends for x in _between(lower, upper)]
        if not wanted:
            break
    if progress is not None:
        progress(expected, expected)
    low_edge, high_edge = _edges(tried)
    return Window(
        weight_decay=weight_decay,
        converges_below=None if low_edge is None else sum(low_edge) / 2,
        blows_up_above=None if high_edge is None else sum(high_edge) / 2,
        theory_low=min(limit / sharpness, high) if math.isfinite(sharpness) else None,
        theory_high=high,
        sharpness=sharpness if math.isfinite(sharpness) else None,
        rtol=rtol,
        tried=tuple(sorted(tried.items())),
    )


def _between(lower: float, upper: float) -> list[float]:
    return torch.linspace(lower, upper, _SECTION + 2, dtype=torch.float64)[1:-1].tolist()


def _edges(tried: dict[float, FlowStatus]) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Return the brackets of both ends: up to which all converged, and from which on all diverged."""
    return _edge(tried, FlowStatus.CONVERGED), _edge(tried, FlowStatus.DIVERGED, downwards=True)


def _edge(tried: dict[float, FlowStatus], status: FlowStatus, *, downwards: bool = False) -> tuple[float, float] | None:
    """Return the learning rates between which the status first changes, from the smallest up or from the largest down.

    None where the first has another status, or where none has.
    """
    for before, after in pairwise(sorted(tried, reverse=downwards)):
        if tried[before] is not status:
            return None
        if tried[after] is not status:
            return min(before, after), max(before, after)
    return None
