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
from lastbit.core.ulp import has_last_bit, is_spread, local
from lastbit.optimizers.parts import Direction, Needs
from lastbit.optimizers.registry import OptimizerRule, rule_of

__all__ = ["OptimizerStep", "Snapshot", "knows_direction"]


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


def knows_direction(optimizer: Optimizer) -> bool:
    """Tell whether the direction of every step of `optimizer` is known.

    One that must see a parameter whole is not, of a parameter that is spread over processes.
    """
    rule = rule_of(type(optimizer), "direction")
    if rule is None or not rule.needs.whole:
        return rule is not None
    return not any(map(is_spread, (param for group in optimizer.param_groups for param in group["params"])))


def _held(tensor: Tensor, param: Tensor) -> Tensor:
    """Return the part of a gradient or of a state that belongs to the part of `param` in this process."""
    if is_spread(tensor) and is_spread(param) and tensor.placements != param.placements:  # type: ignore[attr-defined]
        tensor = tensor.redistribute(placements=param.placements)  # type: ignore[attr-defined]
    return local(tensor)


@dataclass
class OptimizerStep:
    """One step just taken, over the parameters of one group that share device, dtype and step count.

    All tensors are vectors over the elements of those parameters: a network has many small parameters, and one
    operation on a vector costs less than many on its pieces. Of a parameter that is spread over processes they are the
    elements of this one.

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
    _earlier: list[Mapping[str, Tensor]]
    _count: float
    _rule: OptimizerRule | None

    def __post_init__(self) -> None:
        self.after = flatten([local(param) for param in self._params])

    @property
    def shape(self) -> torch.Size:
        """The shape of the one parameter there is, for a direction that needs it whole."""
        return self._params[0].shape

    def direction(self) -> Direction | None:
        """Return the direction that is registered for the optimizer; None where it is not known."""
        if self._rule is None or self._rule.direction is None:
            return None
        return None if self._rule.needs.whole and is_spread(self._params[0]) else self._rule.direction(self)

    def gradient(self) -> Tensor:
        """Return the gradient as the step saw it, negated where the group maximizes."""
        flat = flatten([_held(param.grad, param) for param in self._params if param.grad is not None])
        return flat.neg_() if self.group.get("maximize") else flat

    def decayed_gradient(self) -> Tensor:
        """Return the gradient plus `weight_decay` times the weights before the step (coupled weight decay)."""
        decay = float(self.group.get("weight_decay", 0.0))
        return self.gradient().add_(self.before, alpha=decay) if decay != 0 else self.gradient()

    def state(self, name: str) -> Tensor:
        """Return the per-weight state `name` (say `"momentum_buffer"`), as the step left it."""
        return flatten([_held(state[name], param) for state, param in zip(self._states, self._params, strict=True)])

    def earlier(self, name: str) -> Tensor | None:
        """Return the state `name` as it was before the step, one of `Needs.earlier`; None before the first step."""
        if any(name not in kept for kept in self._earlier):
            return None
        return flatten([kept[name] for kept in self._earlier])

    def count(self) -> float:
        """Return the optimizer's own step count, the same for all parameters here; 0 where it keeps none."""
        return self._count

    def write(self, weights: Tensor) -> None:
        """Put `weights` in the place of the weights after the step."""
        params = [local(param) for param in self._params]
        torch._foreach_copy_(params, unflatten(weights, params))


class Snapshot:
    """The weights of an optimizer before a step, and what of its state the direction needs as it was then.

    All of them that have a last bit, since a closure that runs inside the step decides which have a gradient.

    Args:
        optimizer: the optimizer that is about to step.
        rule: the registration that gives its direction, where there is one.
    """

    def __init__(self, optimizer: Optimizer, rule: OptimizerRule | None) -> None:
        self._optimizer, self._rule = optimizer, rule
        self._needs = Needs() if rule is None else rule.needs
        self._buckets: list[tuple[Mapping[str, Any], list[Tensor], Tensor]] = []
        for group in optimizer.param_groups:
            buckets: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
            for param in filter(has_last_bit, group["params"]):
                buckets.setdefault((param.dtype, param.device), []).append(param)
            self._buckets += [(group, params, flatten(list(map(local, params)))) for params in buckets.values()]
        self._earlier: dict[Tensor, dict[str, Tensor]] = {}
        if self._needs.earlier:
            for _, params, _ in self._buckets:
                self._earlier |= {param: self._kept(param) for param in params}

    def _kept(self, param: Tensor) -> dict[str, Tensor]:
        state = self._optimizer.state.get(param, {})
        return {name: _held(state[name], param).clone() for name in self._needs.earlier if name in state}

    def steps(self) -> Iterator[OptimizerStep]:
        """Yield what the step did to the parameters that have a dense gradient, in a fixed order.

        Raises:
            LastbitError: every gradient is sparse.
        """
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
            keys = [(count, *self._apart(params[place], place)) for count, place in zip(counts, graded, strict=True)]
            for key in sorted(set(keys)):
                places = [place for place, own in zip(graded, keys, strict=True) if own == key]
                old = before
                if len(places) < len(params):
                    views = unflatten(before, list(map(local, params)))
                    old = flatten([views[place] for place in places])
                some = [params[place] for place in places]
                states: list[Mapping[str, Any]] = [state.get(param, {}) for param in some]
                earlier: list[Mapping[str, Tensor]] = [self._earlier.get(param, {}) for param in some]
                yield OptimizerStep(group, old, some, states, earlier, key[0], self._rule)

    def _apart(self, param: Tensor, place: int) -> tuple[float, ...]:
        """Return what sets a parameter apart from others of its step count."""
        needs, state = self._needs, self._optimizer.state.get(param, {})
        kept = self._earlier.get(param, {})
        scalars = [(kept if name in needs.earlier else state).get(name, 0.0) for name in needs.scalars]
        return (*map(float, scalars), float(place) if needs.whole else 0.0)
