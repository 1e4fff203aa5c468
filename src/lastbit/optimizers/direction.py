"""The direction of an optimizer's step: what the optimizer multiplies by its step size and subtracts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Direction"]


@dataclass(frozen=True)
class Direction:
    """The step `w <- shrink * w - step_size * numerator / denominator` over the elements of one `OptimizerStep`.

    `d = numerator / denominator` is the published `d`: the full direction, with coupled weight decay, momentum and
    Adam's ratio in it. `shrink` is decoupled weight decay, which is no part of `d`.

    Attributes:
        step_size: the factor of `d`: the learning rate, for Adam with its bias correction.
        numerator: vector over the weights.
        denominator: vector over the weights; None stands for ones.
        shrink: the factor on the weights, `1 - lr * weight_decay` for decoupled weight decay.
    """

    step_size: float
    numerator: Tensor
    denominator: Tensor | None = None
    shrink: float = 1.0

    def shrunk(self, weights: Tensor) -> Tensor:
        """Return `shrink * weights`, rounded as torch's own step rounds it."""
        return weights if self.shrink == 1.0 else weights * self.shrink

    def applied(self, weights: Tensor, k: int = 1) -> Tensor:
        """Return `shrink * weights - (k * step_size) * (d / k)` by the operations of torch's single-tensor steps.

        These are `add` with `alpha` where there is no denominator, and `addcdiv` with `value` where there is one.
        """
        numerator = self.numerator if k == 1 else self.numerator / k
        factor = -(k * self.step_size)
        if self.denominator is None:
            return self.shrunk(weights).add(numerator, alpha=factor)
        return self.shrunk(weights).addcdiv(numerator, self.denominator, value=factor)
