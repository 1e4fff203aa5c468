"""Each updated weight rounded up or down at random, instead of to the nearest."""

from __future__ import annotations

from functools import cache, partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lastbit.core.blocks import Scratch
from lastbit.core.seeds import stream_seed, torch_stream
from lastbit.core.ulp import FLOAT_DTYPES
from lastbit.optimizers.parts import Direction
from lastbit.optimizers.step import OptimizerStep
from lastbit.perturb.base import Attachment, Seeded
from lastbit.perturb.update import Change, UpdateAttachment

__all__ = ["StochasticRounding"]

_DRAWN = 32
"""Bits of a draw, see `StochasticRounding`."""

_MARGINAL = 1 / 8
"""Chance to move up, and chance to move down, where the rounding error is not known."""


class StochasticRounding(Seeded):
    """Rounds each updated weight to one of the two neighbours of its exact value, at random, without bias.

    Let `W = w - eta * d` be the exact result of a step, `w_new` what the optimizer rounded it to, and `z` the
    neighbour of `w_new` on the side of `W`. The weight becomes `z` with probability `|W - w_new| / |z - w_new|` and
    stays `w_new` otherwise, so that its mean is `W`, to 2^-32 of an ulp, wherever the optimizer rounded correctly;
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

    **Draws** are integers of 32 bits, two of each word of SFC64 (an accelerator's are torch's), so a chance is met to
    2^-32. More bits would decide nothing for float32: `W` in float64 has at most 29 of them below the last one of
    `w_new`, and its own error is up to 2^-28 of an ulp. Fewer would not do: with `b` of them, chances round up to
    multiples of 2^-b, which is a drift of 2^-b / 2 ulps a step and, over `T` steps, passes the root of `T` ulps of the
    random walk where `T` exceeds about 4^b: for 16 bits after 10^9 steps, for 32 never. They are a function of `seed`
    and the step; the global generators are left alone.

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
        draws = _Draws(self.seed, steps)

        def rounded(step: OptimizerStep, direction: Direction | None) -> Tensor:
            return _rounded(step, direction, draws.like(step.after, step.scratch))

        return rounded


class _Draws:
    """Integers that are uniform from -2^31 to 2^31 - 1, the same whatever the blocks in which they are asked for.

    Made anew in each step, it has no state that a checkpoint would have to keep.
    """

    def __init__(self, seed: int, steps: int) -> None:
        self._name = seed, "rounding", steps
        self._words: np.random.SFC64 | None = None
        self._left = np.empty(0, dtype=np.int32)
        self._generator = cache(partial(torch_stream, *self._name))

    def like(self, x: Tensor, scratch: Scratch) -> Tensor:
        """Return one for each element of a vector."""
        if x.device.type != "cpu":
            half = 1 << (_DRAWN - 1)
            return scratch.like(x, torch.int32).random_(-half, half, generator=self._generator(device=x.device))
        if self._words is None:
            self._words = np.random.SFC64(stream_seed(*self._name))
        missing = max(0, x.numel() - self._left.size)
        # Some four times as fast as torch's own, which is slower than all the rest of a rounding.
        drawn = self._words.random_raw((missing + 1) // 2).view(np.int32)
        drawn = np.concatenate([self._left, drawn]) if self._left.size else drawn
        self._left = drawn[x.numel() :]
        return torch.from_numpy(drawn[: x.numel()])


@cache
def _largest(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the largest finite number. Neighbours are sought towards it: a finite weight never becomes infinite."""
    return torch.full((), torch.finfo(dtype).max, dtype=dtype, device=device)


def _rounded(step: OptimizerStep, direction: Direction | None, draws: Tensor) -> Tensor:
    """Return the weights after a step, rounded by `_Draws`."""
    native = step.after
    largest = _largest(native.dtype, native.device)
    if direction is None:
        up = torch.nextafter(native, largest)
        down = torch.nextafter(native, -largest)
        edge = int(2**_DRAWN * (1 / 2 - _MARGINAL))
        moved = torch.where(draws < -edge, up, torch.where(draws >= edge, down, native))
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
    moves = scratch.copy(draws, torch.float64).sub_(chance, alpha=2.0**_DRAWN).lt_(-(2.0 ** (_DRAWN - 1)))
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
