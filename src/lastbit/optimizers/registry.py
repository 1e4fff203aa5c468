"""The one register of optimizers, read by perturbations, stability limits, tangents and the built-in tasks."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError
from lastbit.optimizers.parts import Needs

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from lastbit.optimizers.linear_update import LinearUpdate
    from lastbit.optimizers.parts import Direction, TangentPoint
    from lastbit.optimizers.step import OptimizerStep

__all__ = ["OPTIMIZERS", "OptimizerChoice", "OptimizerRule", "class_of", "needed_rule", "register", "rule_of"]

Group = Mapping[str, Any]
"""A parameter group."""

State = Mapping[str, Any]
"""An optimizer's state of one parameter."""


@dataclass(frozen=True, kw_only=True)
class OptimizerChoice:
    """A built-in task's choice of optimizer.

    Attributes:
        name: what users write.
        options: those of `momentum` and `nesterov` that it understands; it always takes `lr` and `weight_decay`.
        defaults: settings that it prefers to the task's, which are meant for SGD.
    """

    name: str
    options: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerRule:
    """What one registration says; see `register` for what each part is."""

    direction: Callable[[OptimizerStep], Direction] | None = None
    linear_update: Callable[[Group, int], LinearUpdate] | None = None
    preconditioner: Callable[[Group, State], Tensor] | None = None
    decoupled: Callable[[Group], bool] | None = None
    tangent: Callable[[TangentPoint], tuple[Tensor, tuple[Tensor, ...]]] | None = None
    refused: str | None = None
    choice: OptimizerChoice | None = None
    needs: Needs = field(default_factory=Needs)


_REGISTER: list[tuple[str | type[Optimizer], OptimizerRule]] = []
"""In the order of registration: what comes later counts first."""

OPTIMIZERS: dict[str, OptimizerChoice] = {}
"""The optimizers of the built-in tasks by name. Weight decay acts on every parameter; AdamW's is decoupled."""


def register(
    optimizer: str | type[Optimizer],
    *,
    direction: Callable[[OptimizerStep], Direction] | None = None,
    linear_update: Callable[[Group, int], LinearUpdate] | None = None,
    preconditioner: Callable[[Group, State], Tensor] | None = None,
    decoupled: Callable[[Group], bool] | None = None,
    tangent: Callable[[TangentPoint], tuple[Tensor, tuple[Tensor, ...]]] | None = None,
    refused: str | None = None,
    choice: OptimizerChoice | None = None,
    needs: Needs | None = None,
) -> None:
    """Teach lastbit what an optimizer does. Every part may be left out; what needs it then says so.

    * Without `direction`, `Rescale` and `StochasticRounding` see only the weights before and after a step, from which
      the rounding of the update cannot be told (their docstrings say what they do then).
    * Without `linear_update` there is no stability limit, without `tangent` no tangent growth.

    A part that is registered again replaces the earlier one; the others stay.

    Args:
        optimizer: the class, or its name as in `"torch.optim:Adam"`, which imports nothing; `"*:Lion"` is a class
            `Lion` of any module. Subclasses are meant too, unless they override `step`.
        direction: maps a finished `OptimizerStep` to the `Direction` that was taken. It runs without gradients after
            each step and reads the state as the step left it. The first perturbed steps are checked against the
            optimizer's own.
        linear_update: `(group, step) -> LinearUpdate` for the step numbered `step`, from 1, with coupled weight decay
            left out (it is added to the curvature) and decoupled weight decay included.
        preconditioner: `(group, state) -> P`, the positive diagonal that divides the gradient, for one tensor; it goes
            with `linear_update`, as `decoupled` does.
        decoupled: `group -> bool`, whether `weight_decay` multiplies the weights; by default it does not.
        tangent: maps a `TangentPoint` to `δw` after the step and the tangents of the optimizer's buffers.
        refused: why its update is not linear in the curvature, as in "it steps by the sign of the gradient".
        choice: how the built-in tasks offer it.
        needs: what `direction` reads beside the state that the step left; by default nothing.

    Raises:
        LastbitError: `optimizer` is neither such a class nor such a name, or a part is not a function.

    Example:
        >>> import torch
        >>> from lastbit.optimizers import Direction, LinearUpdate, register
        >>> class HalfStep(torch.optim.Optimizer):
        ...     def __init__(self, params, lr):
        ...         super().__init__(params, {"lr": lr})
        ...
        ...     @torch.no_grad()
        ...     def step(self, closure=None):
        ...         for group in self.param_groups:
        ...             for param in group["params"]:
        ...                 param.add_(param.grad, alpha=-0.5 * group["lr"])
        >>> register(
        ...     HalfStep,
        ...     direction=lambda step: Direction(0.5 * step.group["lr"], step.gradient()),
        ...     linear_update=lambda group, step: LinearUpdate(free=[[1.0]], gain=[-0.5 * group["lr"]]),
        ... )
    """
    _check_optimizer(optimizer)
    rule = OptimizerRule(
        direction, linear_update, preconditioner, decoupled, tangent, refused, choice, needs or Needs()
    )
    for part in ("direction", "linear_update", "preconditioner", "decoupled", "tangent"):
        given = getattr(rule, part)
        if given is not None and not callable(given):
            raise LastbitError(f"the {part} of {_name(optimizer)} is a {type(given).__name__}: give a function")
    if rule == OptimizerRule():
        raise LastbitError(f"the registration of {_name(optimizer)} says nothing: give a direction or another part")
    if linear_update is None and (preconditioner or decoupled):
        raise LastbitError(f"{_name(optimizer)}: a preconditioner or decoupled decay goes with a linear_update: add it")
    if direction is None and needs is not None:
        raise LastbitError(f"{_name(optimizer)}: needs are those of a direction: add it")
    _REGISTER.append((optimizer, rule))
    if choice is not None:
        OPTIMIZERS[choice.name] = choice


def rule_of(kind: type, part: str) -> OptimizerRule | None:
    """Return the registration that gives `part` of an optimizer class, or None.

    A subclass that overrides `step` takes steps of its own, so what is registered for its parents is not meant for it.
    A refusal is: what steps by a sign does so in a subclass.
    """
    for base in kind.__mro__:
        for optimizer, rule in reversed(_REGISTER):
            known = getattr(rule, part) is not None and _means(optimizer, base)
            if known and (part == "refused" or _same_step(kind, base)):
                return rule
    return None


def class_of(choice: str) -> type[Optimizer]:
    """Return the class behind a name of `OPTIMIZERS`."""
    found = next(key for key, rule in reversed(_REGISTER) if rule.choice is not None and rule.choice.name == choice)
    return resolve_name(found) if isinstance(found, str) else found


def needed_rule(kind: type, part: str) -> OptimizerRule:
    """Return the registration that gives `part` of an optimizer class.

    Raises:
        LastbitError: none is registered for its `step`.
    """
    if rule := rule_of(kind, part):
        return rule
    known = sorted({_name(optimizer) for optimizer, rule in _REGISTER if getattr(rule, part) is not None})
    raise LastbitError(
        f"no {part.replace('_', ' ')} is known for the step of {kind.__name__} (known: {', '.join(known)}): "
        f"register it with lastbit.optimizers.register({kind.__name__}, {part}=...)"
    )


def _means(optimizer: str | type[Optimizer], kind: type) -> bool:
    if not isinstance(optimizer, str):
        return optimizer is kind
    module, name = optimizer.split(":")
    if module == "*":
        return kind.__name__ == name
    # A class of a module that was never imported has no instances.
    return getattr(sys.modules.get(module), name, None) is kind


def _same_step(kind: type, base: type) -> bool:
    """Whether `kind` steps by the code of `base`, below the wrappers that torch puts around `step` for its hooks."""
    return inspect.unwrap(kind.step) is inspect.unwrap(base.step)  # type: ignore[attr-defined]


def _name(optimizer: str | type[Optimizer]) -> str:
    return optimizer.split(":")[1] if isinstance(optimizer, str) else optimizer.__name__


def _check_optimizer(optimizer: object) -> None:
    if isinstance(optimizer, str) and re.fullmatch(r"(\*|[\w.]+):\w+", optimizer):
        return
    if isinstance(optimizer, type) and issubclass(optimizer, resolve_name("torch.optim:Optimizer")):
        return
    got = repr(optimizer) if isinstance(optimizer, str | type) else f"an instance of {type(optimizer).__name__}"
    raise LastbitError(
        f"register takes a subclass of torch.optim.Optimizer, or its name as in 'torch.optim:Adam', got {got}"
    )
