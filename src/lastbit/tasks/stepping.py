"""What a training step works with: the optimizers of a task, their schedules, and the state that a step is handed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lastbit.core.errors import LastbitError

__all__ = ["Optimizers", "Schedules", "State", "Step", "make_optimizers", "make_schedules", "needs_closure", "one_of"]

_Make: TypeAlias = Callable[[Iterable[nn.Parameter]], Any]
Optimizers: TypeAlias = _Make | Mapping[str, _Make]
"""A function of the model's parameters, or one for each of several submodules, by the submodule's name."""

_Schedule: TypeAlias = Callable[[Optimizer, int], LRScheduler | ReduceLROnPlateau]
Schedules: TypeAlias = _Schedule | Mapping[str, _Schedule]
"""A function of an optimizer and the number of steps, or one for each optimizer that has a schedule, by its name."""


@dataclass
class State:
    """What a step of a task's own is handed, the same object at every step of a training.

    Attributes:
        model: the network, in training mode.
        optimizers: by name; an only one is called `"optimizer"`.
        schedulers: of the optimizers that have one, by the same names; lastbit steps them.
        device: where the model and the batches are.
        step: optimizer steps taken before this one.
        kept: what the step wants to find again at the next one: tensors, numbers, text, lists and dictionaries of
            those. It is part of a checkpoint.
    """

    model: nn.Module
    optimizers: dict[str, Optimizer]
    schedulers: dict[str, LRScheduler | ReduceLROnPlateau]
    device: torch.device
    step: int = 0
    kept: dict[str, Any] = field(default_factory=dict)
    _scaler: torch.amp.GradScaler | None = None

    @property
    def optimizer(self) -> Optimizer:
        """The only optimizer.

        Raises:
            LastbitError: there are several.
        """
        if len(self.optimizers) > 1:
            raise LastbitError(
                f"state.optimizer is the only one, but there are {', '.join(self.optimizers)}: write "
                f"state.optimizers[{next(iter(self.optimizers))!r}]"
            )
        return one_of(self.optimizers)

    @property
    def scaler(self) -> torch.amp.GradScaler:
        """The gradient scaler of the training, made when it is first asked for; its scale is part of a checkpoint."""
        if self._scaler is None:
            self._scaler = torch.amp.GradScaler(self.device.type)
        return self._scaler

    def state_dict(self) -> dict[str, Any]:
        """Return what a step leaves behind beside the model and the optimizers."""
        return {"kept": self.kept, "scaler": None if self._scaler is None else self._scaler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.kept = dict(state["kept"])
        if state["scaler"] is not None:
            self.scaler.load_state_dict(state["scaler"])


Step: TypeAlias = Callable[[State, Any], Tensor]
"""A training step: it changes the weights and returns the loss."""


def one_of(optimizers: Mapping[str, Optimizer]) -> Optimizer:
    """Return the only optimizer.

    Raises:
        LastbitError: there are several.
    """
    if len(optimizers) > 1:
        raise LastbitError(f"the task has the optimizers {', '.join(optimizers)}, where one is needed")
    return next(iter(optimizers.values()))


def make_optimizers(make: Optimizers, model: nn.Module) -> tuple[dict[str, Optimizer], dict[str, nn.Module]]:
    """Return the optimizers of a model by name, and the module that each of them trains.

    Raises:
        LastbitError: what is made is no optimizer, or a name is that of no submodule.
    """
    made: dict[str, Optimizer] = {}
    trains: dict[str, nn.Module] = {}
    if isinstance(make, Mapping):
        for name, function in make.items():
            try:
                trains[name] = model.get_submodule(name)
            except AttributeError:
                listed = ", ".join(child for child, _ in model.named_children())
                raise LastbitError(
                    f"optimizer {name!r} has the name of no part of the model: its parts are {listed}"
                ) from None
            if not any(True for _ in trains[name].parameters()):
                raise LastbitError(f"optimizer {name!r} is of a part of the model that has no parameters: leave it out")
            made[name] = _checked(function(trains[name].parameters()))
        return made, trains
    try:
        found = make(model.parameters())
    except ValueError as error:
        if "empty parameter list" not in str(error):
            raise
        raise LastbitError(
            "an optimizer got no parameters: they can be gone through only once, so begin with params = list(params)"
        ) from None
    if isinstance(found, Mapping):
        made = {str(name): _checked(one) for name, one in found.items()}
    elif isinstance(found, Sequence):
        made = {str(place): _checked(one) for place, one in enumerate(found)}
    else:
        made = {"optimizer": _checked(found)}
    if not made:
        raise LastbitError("the optimizer factory returned none: return one torch.optim.Optimizer, or several by name")
    return made, dict.fromkeys(made, model)


def _checked(made: Any) -> Optimizer:
    if not isinstance(made, Optimizer):
        raise LastbitError(f"the optimizer factory must return a torch.optim.Optimizer, got {type(made).__name__}")
    return made


def make_schedules(
    make: Schedules | None, optimizers: Mapping[str, Optimizer], steps: int
) -> dict[str, LRScheduler | ReduceLROnPlateau]:
    """Return the schedule of each optimizer that has one.

    Raises:
        LastbitError: what is made is no schedule, or a name is that of no optimizer.
    """
    if make is None:
        return {}
    wanted = make if isinstance(make, Mapping) else dict.fromkeys(optimizers, make)
    made = {}
    for name, function in wanted.items():
        if name not in optimizers:
            raise LastbitError(f"schedule {name!r} is of no optimizer: they are called {', '.join(optimizers)}")
        made[name] = function(optimizers[name], steps)
        if not hasattr(made[name], "step"):
            raise LastbitError(
                f"the schedule factory must return a learning-rate scheduler, got {type(made[name]).__name__}"
            )
    return made


def needs_closure(optimizer: Optimizer) -> bool:
    """Tell whether a step must be given a function that computes the loss again, as that of L-BFGS."""
    parameter = inspect.signature(type(optimizer).step).parameters.get("closure")
    return parameter is not None and parameter.default is parameter.empty
