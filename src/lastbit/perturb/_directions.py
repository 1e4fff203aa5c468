"""The optimizers whose direction is known; a new one is a row here or a call of `register_direction`."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch.optim import Optimizer

from lastbit.core.errors import LastbitError
from lastbit.perturb._direction import Direction
from lastbit.perturb._step import OptimizerStep
from lastbit.perturb._torch_directions import adagrad, adam, rmsprop, sgd

__all__ = ["DirectionFunction", "direction_of", "register_direction"]

DirectionFunction = Callable[[OptimizerStep], Direction]

_DIRECTIONS: dict[type[Optimizer], DirectionFunction] = {
    torch.optim.SGD: sgd,
    torch.optim.Adam: adam,
    torch.optim.AdamW: adam,
    torch.optim.RMSprop: rmsprop,
    torch.optim.Adagrad: adagrad,
}


def register_direction(optimizer_class: type[Optimizer], function: DirectionFunction) -> None:
    """Teach lastbit the direction of an optimizer, so that its steps are perturbed from within.

    Without one, `Rescale` and `StochasticRounding` see only the weights before and after a step, from which the
    rounding of the update cannot be told (their docstrings say what they do then). torch's SGD, Adam, AdamW, RMSprop
    and Adagrad are registered.

    Args:
        optimizer_class: the optimizer. Its subclasses are meant too, unless they override `step`.
        function: maps a finished `OptimizerStep` to the `Direction` that was taken. It runs without gradients after
            each step and reads the state as the step left it. The first perturbed steps are checked against the
            optimizer's own.

    Raises:
        LastbitError: `optimizer_class` is not an optimizer class.

    Example:
        >>> import torch
        >>> from lastbit.perturb import Direction, register_direction
        >>> class SignSGD(torch.optim.Optimizer):
        ...     def __init__(self, params, lr):
        ...         super().__init__(params, {"lr": lr})
        ...
        ...     @torch.no_grad()
        ...     def step(self, closure=None):
        ...         for group in self.param_groups:
        ...             for param in group["params"]:
        ...                 param.add_(param.grad.sign(), alpha=-group["lr"])
        >>> register_direction(SignSGD, lambda step: Direction(step.group["lr"], step.gradient().sign()))
    """
    if not (isinstance(optimizer_class, type) and issubclass(optimizer_class, Optimizer)):
        raise LastbitError(f"a direction belongs to a subclass of torch.optim.Optimizer, got {optimizer_class!r}")
    _DIRECTIONS[optimizer_class] = function


def direction_of(optimizer: Optimizer) -> DirectionFunction | None:
    """Return the registered direction of `optimizer`, or None.

    A subclass that overrides `step` takes steps of its own, so what is registered for its parents is not meant for it.
    """
    kind = type(optimizer)
    for base in kind.__mro__:
        if base in _DIRECTIONS:
            # torch wraps `step` for its hooks, class by class.
            same = inspect.unwrap(kind.step) is inspect.unwrap(base.step)
            return _DIRECTIONS[base] if same else None
    return None
