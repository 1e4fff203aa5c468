"""The published perturbation: the step size times k, the direction divided by k."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import field_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import same_bits
from lastbit.optimizers.parts import Direction
from lastbit.optimizers.step import OptimizerStep
from lastbit.perturb.base import Attachment, Perturbation, Positive
from lastbit.perturb.update import UpdateAttachment

__all__ = ["Rescale"]


class Rescale(Perturbation):
    r"""Replaces `w <- w - eta * d` by `w <- w - (k * eta) * (d / k)`, which is equal in exact arithmetic.

    `d` is the optimizer's full direction: coupled weight decay, momentum, Nesterov's look-ahead, Adam's ratio. In
    floating point the update is rounded otherwise, so an odd `k > 1` is noise of the size of the last bit. A power of
    two scales without rounding and changes nothing, absent underflow: it is a control that runs the whole machinery.

    The optimizer takes its own step, whatever its implementation (single-tensor, foreach, fused). From the state that
    it left, `x = w - eta * d` and `y = w - (k * eta) * (d / k)` are computed by the operations of torch's
    single-tensor step, and the weight stays what the optimizer made of it where `y = x`. Elsewhere it becomes `y` where
    the optimizer made `x`, which is everywhere for a single-tensor step: the published update. A fused step rounds in
    its own way, on a GPU by some ulps off `x`, and the weight moves on from its result by `y - x`. A power of two still
    changes nothing.

    **Bound.** Let `u = eps / 2` be the unit roundoff and `e = |eta * d|` the size of the update. Up to terms of order
    `u^2`,

        |y - x| <= ulp(x) / 2 + ulp(y) / 2 + c * u * e,

    and `x` and `y` are at most one ulp apart wherever `c * e < min(|x|, |y|)`; `c = 3` for an optimizer that adds its
    direction by a fused multiply-add (SGD, ASGD, RMSprop with momentum, RAdam, Adadelta, Adafactor, Muon), 5 where that
    product is rounded and for Rprop, whose step size is a vector, 7 for one that adds a ratio (Adam, AdamW, Adamax,
    RMSprop, Adagrad). NAdam adds two ratios, one after the other: its bound is the sum of those of both additions,
    each with the size of its own part for `e`, so that `x` and `y` may be two ulps apart.

    *Proof.* Before the last addition is rounded, `x` has the relative error of `eta` in the weights' format, and `y`
    that of `k * eta` and that of `d / k`: together `3 u e`. A product that is rounded adds `u e` on each side, a
    division another. (A GPU multiplies by `1 / k`: one more.) The rounding of the last addition is half an ulp of its
    result on each side. For the second claim let `X` and `Y` be the two sums before that rounding, `|X - Y| <= c * u
    * e`. If `x` and `y` were two or more neighbours apart, then `X` would lie no higher than half the first gap from
    the lower one and `Y` no lower than half the last gap from the upper one, or the other way round, so that `|X -
    Y|` would be at least the mean of two gaps between them; and every gap beside numbers of size `|x|` is at least `u
    * |x|`. Decoupled weight decay multiplies the weights first, in `x` and `y` alike, and cancels. Of
    two additions the second begins at weights that the first left apart: its own bound comes on top of that.

    So the perturbation is below one ulp of the updated weight wherever the update is not larger than a third (a
    seventh) of the weight. On a weight that the update makes anew, or cancels, it is `c * u * e`: the last bits of
    the *update*.

    An optimizer that multiplies its rate into its direction (RAdam), or whose rate is 1 (Adadelta by default), has
    `eta = 1`: `k * (d / k)` then differs from `d` only in a fused multiply-add, or for a `k` that is no sum of two
    powers of two (7, 11), as below. The direction of Muon is computed anew, which doubles the work of its step.

    **Unknown direction.** Of an optimizer without a registered direction (`optimizers.register`) only the realised
    update `u = w_new - w` is known, and the weight becomes `w + k * (u / k)` where that differs from `w + u`. The
    realised update has no bits below the weight's last one, so this lands only on weights that are not much larger
    than their update; and where torch does not fuse the product and the sum, not at all for `k = 2^i + 2^j` (3, 5, 9),
    since `k * (u / k)` is then `u` again (Kahan's theorem: Goldberg, What Every Computer Scientist Should Know About
    Floating-Point Arithmetic, 1991, theorem 7). Prefer to register the direction. Of the
    optimizers of torch only LBFGS, whose step is a whole search with many evaluations, is perturbed this way, and Muon
    and Adafactor where a parameter is spread over processes; `Auto` rounds these instead. The rows that a sparse
    gradient touches (SparseAdam) are left alone.

    Args:
        k: odd, or a power of two. Published values: 1, 3, 5, 7, 9, 11 (Sun, Lao, Yezzi, Sundaramoorthi, "A PDE-based
            Explanation of Extreme Numerical Sensitivities and Edge of Stability in Training Neural Networks", JMLR
            25(174), 2024).

    Raises:
        LastbitError: `k` is none of these.

    Example:
        >>> Rescale(k=3).label
        'k = 3'
    """

    kind: ClassVar[str] = "rescale"
    k: Positive

    @field_validator("k")
    @classmethod
    def _odd_or_a_power_of_two(cls, k: int) -> int:
        if k % 2 == 0 and k & (k - 1):
            raise LastbitError(
                f"k = {k}: write an odd number (3, 5, 7, ...) to perturb, or a power of two for a control"
            )
        return k

    @property
    def label(self) -> str:
        """The factor, as in `"k = 3"`."""
        return f"k = {self.k}"

    @classmethod
    def member(cls, index: int, *, seed: int = 0) -> Self:
        """Return k = 3, 5, 7, ... for index 1, 2, 3, ...; there is nothing to seed."""
        return cls(k=2 * index + 1)

    def attach(self, optimizer: Optimizer, model: nn.Module | None = None) -> Attachment:
        """Rescale every step of `optimizer`; see `Perturbation.attach`."""
        return Attachment(optimizer) if self.k == 1 else UpdateAttachment(optimizer, lambda _: self._rescaled)

    def _rescaled(self, step: OptimizerStep, direction: Direction | None) -> Tensor:
        if direction is None:
            direction = Direction(-1.0, step.after - step.before)
        plain = direction.applied(step.before, scratch=step.scratch)
        rescaled = direction.applied(step.before, self.k, scratch=step.scratch)
        # An accelerator would have to be waited for.
        if step.after.device.type == "cpu" and same_bits(step.after, plain):
            return rescaled
        moved = torch.where(step.after == plain, rescaled, step.after + (rescaled - plain))
        return torch.where(rescaled != plain, moved, step.after)
