"""Each updated weight rounded up or down at random, instead of to the nearest."""

from __future__ import annotations

from functools import cache, partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lastbit.core.blocks import Scratch
from lastbit.core.seeds import torch_stream
from lastbit.core.ulp import FLOAT_DTYPES
from lastbit.optimizers.parts import Direction
from lastbit.optimizers.step import OptimizerStep
from lastbit.perturb.base import Attachment, Seeded
from lastbit.perturb.update import Change, UpdateAttachment

__all__ = ["StochasticRounding"]

_DRAWN = 24
"""Bits of a draw."""

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
            draws = step.scratch.like(step.after, torch.int32)
            return _rounded(step, direction, draws.random_(0, 2**_DRAWN, generator=generator(device=draws.device)))

        return rounded


@cache
def _largest(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the largest finite number. Neighbours are sought towards it: a finite weight never becomes infinite."""
    return torch.full((), torch.finfo(dtype).max, dtype=dtype, device=device)


def _rounded(step: OptimizerStep, direction: Direction | None, draws: Tensor) -> Tensor:
    """Return the weights after a step, rounded by draws that are uniform among the integers below 2^24."""
    native = step.after
    largest = _largest(native.dtype, native.device)
    if direction is None:
        up = torch.nextafter(native, largest)
        down = torch.nextafter(native, -largest)
        margin = int(2**_DRAWN * _MARGINAL)
        moved = torch.where(draws < margin, up, torch.where(draws >= 2**_DRAWN - margin, down, native))
        return torch.where((native != step.before) & native.isfinite(), moved, native)
    scratch = step.scratch
    error = rounding_error(direction, step.before, native, scratch)
    # Few vectors of float64, taken back as soon as they are used up: more would not stay in the cache.
    mark = scratch.mark()
    side = torch.copysign(largest, scratch.copy(error, native.dtype), out=scratch.like(native))
    neighbour = torch.nextafter(native, side, out=side)
    # A power of two on the side of the error, so that the quotient is exact.
    gap = torch.sub(neighbour, native, out=scratch.like(native))
    chance = error.div_(scratch.copy(gap, torch.float64))
    if native.dtype is not torch.float64:
        scratch.reset(mark)
    moves = scratch.copy(draws, torch.float64).sub_(chance, alpha=2.0**_DRAWN).lt_(0)
    # `torch.where(moves, neighbour, native)` at half its time on a processor.
    kind = FLOAT_DTYPES[native.dtype]
    changed = neighbour.view(kind).bitwise_xor_(native.view(kind)).bitwise_and_(scratch.copy(moves, kind).neg_())
    return changed.bitwise_xor_(native.view(kind)).view(native.dtype)


def rounding_error(direction: Direction, before: Tensor, after: Tensor, scratch: Scratch) -> Tensor:
    """Return the exact result of the step minus `after`, in float64 and in memory of `scratch`.

    Relative to the distance between neighbours of `after` the error of this is below 2^-28 for float32 and smaller
    formats, and for float64 that of the update `eta * d` alone.
    """
    if before.dtype != torch.float64:
        # The product is exact to float64, and so is its sum with the weight, in which no bit of interest is lost.
        wide = scratch.copy(before, torch.float64)
        mark = scratch.mark()
        direction.widened(scratch).applied(wide, out=wide)
        scratch.reset(mark)
        wide.sub_(scratch.copy(after, torch.float64))
        scratch.reset(mark)
        return wide
    update = direction.update()
    weights = direction.shrunk(before)
    total = weights + update
    virtual = total - weights
    lost = (weights - (total - virtual)) + (update - virtual)
    return (total - after) + lost
