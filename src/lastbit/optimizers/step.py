"""One finished step of an optimizer, flattened: what a direction is computed from and what a perturbation changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.optim import Optimizer

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import has_last_bit

__all__ = ["OptimizerStep", "Snapshot"]


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Return all elements of `tensors` (one device, one dtype) in one new vector, in logical order."""
    flat: Tensor = _flatten_dense_tensors(tensors)  # type: ignore[no-untyped-call]
    # A single tensor comes back as a view of itself.
    return flat.clone() if len(tensors) == 1 else flat


def unflatten(flat: Tensor, like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return views of `flat` in the shapes of `like`: the inverse of `flatten`."""
    views: tuple[Tensor, ...] = _unflatten_dense_tensors(flat, like)  # type: ignore[no-untyped-call]
    return views


def step_counts(states: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the `step` of each state, 0 where there is none."""
    steps = [each.get("step", 0.0) for each in states]
    if steps and all(isinstance(each, Tensor) and each.device.type != "cpu" for each in steps):
        # Fused and capturable steps count on the device: wait for it once, not once per parameter.
        counts: list[float] = torch.stack([each.reshape(()) for each in steps]).tolist()
        return counts
    return [float(each) for each in steps]


@dataclass
class OptimizerStep:
    """One step just taken, over the parameters of one group that share device, dtype and step count.

    All tensors are vectors over the elements of those parameters: a network has many small parameters, and one
    operation on a vector costs less than many on its pieces.

    Attributes:
        group: the parameter group: `group["lr"]` and the like.
        before: the weights before the step.
        after: the weights after the optimizer's own step.
    """

    group: Mapping[str, Any]
    before: Tensor
    after: Tensor = field(init=False)
    _params: list[Tensor]
    _states: list[Mapping[str, Any]]
    _count: float

    def __post_init__(self) -> None:
        self.after = flatten(self._params)

    def gradient(self) -> Tensor:
        """Return the gradient as the step saw it, negated where the group maximizes."""
        flat = flatten([param.grad for param in self._params if param.grad is not None])
        return flat.neg_() if self.group.get("maximize") else flat

    def decayed_gradient(self) -> Tensor:
        """Return the gradient plus `weight_decay` times the weights before the step (coupled weight decay)."""
        decay = float(self.group.get("weight_decay", 0.0))
        return self.gradient().add_(self.before, alpha=decay) if decay != 0 else self.gradient()

    def state(self, name: str) -> Tensor:
        """Return the per-weight state `name` (say `"momentum_buffer"`), as the step left it."""
        return flatten([state[name] for state in self._states])

    def count(self) -> float:
        """Return the optimizer's own step count, the same for all parameters here; 0 where it keeps none."""
        return self._count

    def write(self, weights: Tensor) -> None:
        """Put `weights` in the place of the weights after the step."""
        torch._foreach_copy_(self._params, unflatten(weights, self._params))


class Snapshot:
    """The weights of an optimizer before a step.

    All of them that have a last bit, since a closure that runs inside the step decides which have a gradient.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._buckets: list[tuple[Mapping[str, Any], list[Tensor], Tensor]] = []
        for group in optimizer.param_groups:
            buckets: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
            for param in filter(has_last_bit, group["params"]):
                buckets.setdefault((param.dtype, param.device), []).append(param)
            self._buckets += [(group, params, flatten(params)) for params in buckets.values()]

    def steps(self) -> Iterator[OptimizerStep]:
        """Yield what the step did to the parameters that have a dense gradient, in a fixed order.

        Raises:
            LastbitError: every gradient is sparse.
        """
        # A fused step that a gradient scaler told to skip still runs the hooks.
        found_inf = getattr(self._optimizer, "found_inf", None)
        if found_inf is not None and bool(found_inf):
            return
        state = self._optimizer.state
        layouts = {param.grad.layout for _, params, _ in self._buckets for param in params if param.grad is not None}
        if layouts and torch.strided not in layouts:
            raise LastbitError(f"cannot perturb a step with {layouts.pop()} gradients: use sparse=False")
        for group, params, before in self._buckets:
            graded = [
                place
                for place, param in enumerate(params)
                if param.grad is not None and param.grad.layout is torch.strided
            ]
            # A parameter that had no gradient in some steps lags behind in its count, on which bias corrections depend.
            counts = step_counts([state.get(params[place], {}) for place in graded])
            for count in sorted(set(counts)):
                places = [place for place, own in zip(graded, counts, strict=True) if own == count]
                old = before
                if len(places) < len(params):
                    views = unflatten(before, params)
                    old = flatten([views[place] for place in places])
                some = [params[place] for place in places]
                yield OptimizerStep(group, old, some, [state.get(param, {}) for param in some], count)
