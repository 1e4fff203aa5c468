"""The linear flow `d/dt K = -(J + alpha) K` stepped by a scheme, and the stable weight decays found by stepping it.

Here stability is observed, not computed: a mode is stepped and its growth measured, the weight decay is bisected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.builtin_schemes import EULER, descent_direction
from lastbit.pde.cnn.simulation import norms
from lastbit.pde.schemes import TimeScheme

__all__ = ["SimulatedBounds", "growth", "linear_path", "simulated_bounds"]


@dataclass(frozen=True)
class SimulatedBounds:
    """Weight decays between which the stepped modes decay.

    Attributes:
        alpha_min: lower end, the middle of its bracket.
        alpha_max: upper end, likewise.
        alpha_min_range: largest weight decay below it found to grow, and smallest above it found to decay.
        alpha_max_range: largest found to decay, and smallest found to grow.
    """

    alpha_min: float
    alpha_max: float
    alpha_min_range: tuple[float, float]
    alpha_max_range: tuple[float, float]


def growth(
    operator: Callable[[Tensor], Tensor],
    start_MCnm: Tensor,
    *,
    dt: float,
    weight_decay_M: Tensor,
    scheme: TimeScheme = EULER,
    steps: int = 200,
) -> Tensor:
    """Return `log(|v_steps| / |v_half|)` per member, `v` stepped by the scheme from the start, at rest.

    The first half of the steps is left out: there a two-step scheme may grow before it decays. The state is rescaled
    each step, so neither growth nor decay can leave the range of the format.

    Args:
        operator: J, symmetric, on the shape of the starts, members first.
        start_MCnm: one start per member.
        dt: the step.
        weight_decay_M: one per member.
        scheme: of the steps.
        steps: of the scheme.

    Raises:
        LastbitError: fewer than two steps.
    """
    if steps < 2:
        raise LastbitError(f"steps = {steps}: use 2 or more to see growth")
    v, u = start_MCnm, torch.zeros_like(start_MCnm)
    per_member = (-1, *(1,) * (v.ndim - 1))
    decay = weight_decay_M.to(v).reshape(per_member)
    total = torch.zeros(len(v), dtype=torch.float64, device=v.device)
    for count in range(steps):
        direction, u = descent_direction(scheme, operator(v) + decay * v, u)
        v = v - dt * direction
        size = norms(v).clamp(min=torch.finfo(v.dtype).tiny)
        v, u = v / size.to(v).reshape(per_member), u / size.to(v).reshape(per_member)
        if count >= steps // 2:
            total = total + size.log()
    return total


def linear_path(
    operator: Callable[[Tensor], Tensor],
    start_MCnm: Tensor,
    *,
    dt: float,
    weight_decay_M: Tensor,
    source_MCnm: Tensor | float = 0.0,
    steps: int,
) -> Iterator[Tensor]:
    """Yield the states of `d/dt v = -(source + J v + alpha v)` by Euler's scheme, the start first.

    Args:
        operator: J, on the shape of the starts, members first.
        start_MCnm: one start per member.
        dt: the step.
        weight_decay_M: one per member.
        source_MCnm: the gradient where `v` is zero.
        steps: of the scheme.
    """
    v = start_MCnm
    decay = weight_decay_M.to(v).reshape(-1, *(1,) * (v.ndim - 1))
    yield v
    for _ in range(steps):
        v = v - dt * (source_MCnm + operator(v) + decay * v)
        yield v


def simulated_bounds(
    operator: Callable[[Tensor], Tensor],
    low_CHW: Tensor,
    high_CHW: Tensor,
    *,
    dt: float,
    scheme: TimeScheme = EULER,
    steps: int = 200,
    rtol: float = 1e-3,
    reach: float | None = None,
) -> SimulatedBounds:
    """Return the weight decays between which both worst modes decay, by stepping them.

    The lower end is bisected on the mode of the smallest eigenvalue, the upper on that of the largest; each is mixed
    with a thousandth of the other and of noise, so that a wrong worst mode would give itself away by growing.

    Args:
        operator: J, symmetric, on `[M, C, n, m]`.
        low_CHW: unit eigenvector of its smallest eigenvalue, or any unit kernel that has a part of it: then `steps`
            must be enough for the eigenvector to outgrow the rest.
        high_CHW: likewise of the largest.
        dt: the step.
        scheme: of the steps.
        steps: of the scheme, per trial.
        rtol: width of the last bracket relative to `1 / dt` and to the bound, whichever is smaller.
        reach: half-width of the first bracket; `8 / dt` when None.

    Raises:
        LastbitError: the transition is not within reach.
    """
    span = 8.0 / dt if reach is None else reach
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(low_CHW.shape, generator=generator, dtype=torch.float64).to(low_CHW)
    noise = noise / torch.linalg.vector_norm(noise)
    starts = (low_CHW + 1e-3 * (high_CHW + noise), high_CHW + 1e-3 * (low_CHW + noise))
    found = []
    for sign, start in zip((-1.0, 1.0), starts, strict=True):
        # On the stable side of the lower end is the larger decay, of the upper end the smaller.
        stable, unstable = _stable_decay(operator, start, dt, scheme, steps, span), sign * span
        while abs(unstable - stable) > rtol * min(1 / dt, max(abs(stable), abs(unstable), 1e-6 / dt)):
            trials = torch.linspace(stable, unstable, 10, dtype=torch.float64)[1:-1]
            many = start.expand(len(trials), *start.shape)
            grows = growth(operator, many, dt=dt, weight_decay_M=trials, scheme=scheme, steps=steps) > 0
            first = int(grows.int().argmax()) if bool(grows.any()) else len(trials)
            edges = [stable, *trials.tolist(), unstable]
            stable, unstable = edges[first], edges[first + 1]
        found.append((min(stable, unstable), max(stable, unstable)))
    lower, upper = found
    return SimulatedBounds(sum(lower) / 2, sum(upper) / 2, lower, upper)


def _stable_decay(
    operator: Callable[[Tensor], Tensor], start: Tensor, dt: float, scheme: TimeScheme, steps: int, span: float
) -> float:
    """Return a weight decay at which the mode decays fastest among a coarse grid."""
    trials = torch.linspace(-span, span, 65, dtype=torch.float64)
    many = start.expand(len(trials), *start.shape)
    rates = growth(operator, many, dt=dt, weight_decay_M=trials, scheme=scheme, steps=min(steps, 40))
    best = int(rates.argmin())
    if not math.isfinite(float(rates[best])) or float(rates[best]) > 0:
        raise LastbitError(f"no weight decay within {span:.3g} of zero is stable at dt = {dt:g}: use a smaller step")
    return float(trials[best])
