"""Each updated weight rounded up or down at random, instead of to the nearest."""

from __future__ import annotations

from functools import cache, partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lastbit.core.seeds import torch_stream
from lastbit.optimizers.parts import Direction
from lastbit.optimizers.step import OptimizerStep
from lastbit.perturb.base import Attachment, Seeded
from lastbit.perturb.update import Change, UpdateAttachment

__all__ = ["StochasticRounding"]

_MARGINAL = 1 / 8
"""Chance to move up, and chance to move down, where the rounding error is not known."""


class StochasticRounding(Seeded):
    """Rounds each updated weight to one of the two neighbours of its exact value, at random, without bias.

    Let `W = w - eta * d` be the exact result of a step, `w_new` what the optimizer rounded it to, and `z` the
    neighbour of `w_new` on the side of `W`. The weight becomes `z` with probability `|W - w_new| / |z - w_new|` and
    stays `w_new` otherwise, so that its mean is `W`, to 2^-24 of an ulp, wherever the optimizer rounded correctly;
    where its own error is larger than an ulp, the weight becomes `z`. Either way it is at most one ulp from `w_new`,
    by construction. `W` is computed in float64; for float64 weights the rounded update `eta * d` counts as given and
    its addition is made exact by TwoSum (Knuth, The Art of Computer Programming, vol. 2, 4.2.2, theorem B).

    A weight whose update is zero has an exact result, and stays. An update too small to change its weight does change
    it now and then: without that the rounding would be biased.

    **Unknown direction.** Of an optimizer without a registered direction (`optimizers.register`) the error `W - w_new`
    is not known. Over many weights it is uniform between minus and plus half an ulp (the usual model of rounding
    errors: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.8), so the chance to move is
    the mean of `|W - w_new| / ulp`, which is 1/4, and half of it falls on each side: a weight that the step changed
    moves one ulp up with probability 1/8 and down with probability 1/8. One that the step did not change stays.

    The draws are a function of `seed` and the step; the global generators are left alone.

    Args:
        seed: selects the draws, at least 0.

    Raises:
        LastbitError: `seed` is no such number.
    """

    kind: ClassVar[str] = "rounding"

    @property
    def label(self) -> str:
        """The seed, as in `"stochastic rounding (seed 2)"`."""
        return f"stochastic rounding (seed {self.seed})"

    def attach(self, optimizer: Optimizer, model: nn.Module | None = None) -> Attachment:
        """Round every step of `optimizer` at random; see `Perturbation.attach`."""
        return UpdateAttachment(optimizer, self._rounding)

    def _rounding(self, steps: int) -> Change:
        # Made anew in each step, the generators have no state that a checkpoint would have to keep.
        generator = cache(partial(torch_stream, self.seed, "rounding", steps))

        def rounded(step: OptimizerStep, direction: Direction | None) -> Tensor:
            native, device = step.after, step.after.device
            # Uniform in [0, 1), multiples of 2^-24.
            draws = torch.rand(native.shape, generator=generator(device=device), device=device, dtype=torch.float32)
            return _rounded(step, direction, draws)

        return rounded


def _rounded(step: OptimizerStep, direction: Direction | None, draws: Tensor) -> Tensor:
    """Return the weights after a step, rounded by draws that are uniform in [0, 1)."""
    native = step.after
    # Towards the largest finite number, not infinity: a finite weight never becomes infinite.
    largest = torch.full((), torch.finfo(native.dtype).max, dtype=native.dtype, device=native.device)
    if direction is None:
        up = torch.nextafter(native, largest)
        down = torch.nextafter(native, -largest)
        moved = torch.where(draws < _MARGINAL, up, torch.where(draws >= 1 - _MARGINAL, down, native))
        return torch.where((native != step.before) & native.isfinite(), moved, native)
    error = rounding_error(direction, step.before, native)
    neighbour = torch.nextafter(native, torch.copysign(largest, error.to(native.dtype)))
    gap = (neighbour.double() - native).abs_()
    return torch.where(draws * gap < error.abs(), neighbour, native)


def rounding_error(direction: Direction, before: Tensor, after: Tensor) -> Tensor:
    """Return the exact result of the step minus `after`, in float64.

    Relative to the distance between neighbours of `after` the error of this is below 2^-28 for float32 and smaller
    formats, and for float64 that of the update `eta * d` alone.
    """
    if before.dtype != torch.float64:
        # The product is exact to float64, and so is its sum with the weight, in which no bit of interest is lost.
        return direction.to(torch.float64).applied(before.double()).sub_(after)
    update = direction.update()
    weights = direction.shrunk(before)
    total = weights + update
    virtual = total - weights
    lost = (weights - (total - virtual)) + (update - virtual)
    return (total - after) + lost
