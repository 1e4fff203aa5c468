"""What the functions of a registration return and take: a step's direction, and the point it is linearised at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError

if TYPE_CHECKING:
    from torch import Tensor

    from lastbit.core.blocks import Scratch

__all__ = ["Direction", "Needs", "TangentPoint"]


@dataclass(frozen=True)
class Direction:
    """The step `w <- shrink * w - step_size * numerator / denominator` over the elements of one `OptimizerStep`.

    `d = numerator / denominator` is the published `d`: the full direction, with coupled weight decay, momentum and
    Adam's ratio in it. `shrink` is decoupled weight decay, which is no part of `d`.

    Attributes:
        step_size: the factor of `d`: the learning rate, for Adam with its bias correction. Where each weight has one of
            its own (Rprop), a vector over the weights, without a denominator.
        numerator: vector over the weights.
        denominator: vector over the weights; None stands for ones.
        shrink: the factor on the weights, `1 - lr * weight_decay` for decoupled weight decay.
        then: what the step subtracts after that, in an addition of its own (NAdam's momentum after its gradient).

    Raises:
        LastbitError: a vector of step sizes comes with a denominator.
    """

    step_size: float | Tensor
    numerator: Tensor
    denominator: Tensor | None = None
    shrink: float = 1.0
    then: Direction | None = None

    def __post_init__(self) -> None:
        if getattr(self.step_size, "ndim", None) == 0:  # a learning rate that is a tensor
            object.__setattr__(self, "step_size", float(self.step_size))
        if self.denominator is not None and not isinstance(self.step_size, int | float):
            raise LastbitError("a direction whose step size is a vector has no denominator: divide the numerator by it")

    def shrunk(self, weights: Tensor) -> Tensor:
        """Return `shrink * weights`, rounded as torch's own step rounds it."""
        return weights if self.shrink == 1.0 else weights * self.shrink

    def applied(
        self, weights: Tensor, k: int = 1, *, scratch: Scratch | None = None, out: Tensor | None = None
    ) -> Tensor:
        """Return `shrink * weights - (k * step_size) * (d / k)` by the operations of torch's single-tensor steps.

        These are `addcdiv` with `value` where there is a denominator, else `add` with `alpha`, or `addcmul` where the
        step size is a vector. What comes `then` is rescaled alike and subtracted after that. The result is written to
        `out`, which may be the weights, else to memory of `scratch`, where one is given.
        """
        import torch

        numerator = self.numerator
        if out is None and scratch is not None:
            out = scratch.like(weights)
        if k != 1:
            numerator = torch.div(numerator, k, out=None if scratch is None else scratch.like(weights))
        start = weights if self.shrink == 1.0 else torch.mul(weights, self.shrink, out=out)
        if not isinstance(self.step_size, int | float):
            moved = torch.addcmul(start, numerator, k * self.step_size, value=-1, out=out)
        elif self.denominator is None:
            moved = torch.add(start, numerator, alpha=-(k * self.step_size), out=out)
        else:
            moved = torch.addcdiv(start, numerator, self.denominator, value=-(k * self.step_size), out=out)
        return moved if self.then is None else self.then.applied(moved, k, scratch=scratch, out=out)

    def update(self) -> Tensor:
        """Return what the step adds to `shrink * weights`: `-step_size * d`, and what comes `then`."""
        update = self.numerator * -self.step_size
        if self.denominator is not None:
            update = update.div_(self.denominator)
        return update if self.then is None else update.add_(self.then.update())

    def widened(self, scratch: Scratch) -> Direction:
        """Return the same direction with its vectors as float64 in memory of `scratch`."""
        import torch

        def wide(x: Tensor) -> Tensor:
            return scratch.copy(x, torch.float64)

        return replace(
            self,
            step_size=self.step_size if isinstance(self.step_size, int | float) else wide(self.step_size),
            numerator=wide(self.numerator),
            denominator=None if self.denominator is None else wide(self.denominator),
            then=None if self.then is None else self.then.widened(scratch),
        )


@dataclass(frozen=True)
class Needs:
    """What a direction must be given beside the weights, the gradient and the state after the step.

    Attributes:
        earlier: names of the state that it reads as it was before the step, by `OptimizerStep.earlier`.
        scalars: names of the state that is one number for a parameter. Parameters in which they differ are shown in
            steps of their own, so that any element stands for all.
        whole: whether it must see one parameter at a time, and all of it: its shape counts, or norms of it. Of a
            parameter that is spread over processes it is then not known.
    """

    earlier: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class TangentPoint:
    """One parameter before a step: where its update is linearised, and in which direction.

    A tangent function maps it to `δw` after the step and to the tangents of the buffers after it, in an order of its
    own. All tensors have the parameter's shape; those of the tangent may be wider than the weights.

    Attributes:
        weights: `w`.
        gradient: `g`, as `backward` left it.
        group: the parameter group: `group["lr"]` and the like.
        state: the optimizer's state of the parameter; empty before its first step.
        delta: `δw`.
        product: `H δw`, with the Hessian of the loss that `g` belongs to.
        buffers: tangents of the optimizer's buffers as the last step returned them; empty where they are all 0.
        frozen: whether the preconditioner is held fixed instead of differentiated.
    """

    weights: Tensor
    gradient: Tensor
    group: Mapping[str, Any]
    state: Mapping[str, Any]
    delta: Tensor
    product: Tensor
    buffers: tuple[Tensor, ...]
    frozen: bool

    @property
    def sign(self) -> float:
        """-1 where the group maximizes, else 1."""
        return -1.0 if self.group.get("maximize") else 1.0
