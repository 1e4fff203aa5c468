"""The factories of a task whose optimizers know the network that they train, and keep more than their own state."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

from lastbit.core.errors import LastbitError
from lastbit.tasks import Task

__all__ = ["Held", "kept_by", "paired"]


class Held(Protocol):
    """What a checkpoint has to hold."""

    def state_dict(self) -> Any:
        """Return what is needed to go on bit for bit."""

    def load_state_dict(self, state: Any) -> Any:
        """Go on from what `state_dict` returned."""


def paired(task: Task, attach: Callable[[nn.Module, Optimizer], None]) -> Task:
    """Return the task whose only optimizer is handed over, with its network, as soon as it is made.

    Args:
        task: with one optimizer.
        attach: called with both, when the network has its place and format.
    """
    pair = _Pair(task, attach)
    return replace(task, model=pair.model, optimizer=pair.optimizer)


def kept_by(optimizer: Optimizer, name: str, held: Held) -> None:
    """Let the state of an optimizer hold the state of something else too.

    Args:
        optimizer: whose `state_dict` gains an entry.
        name: of the entry.
        held: what is saved and restored with the optimizer.
    """

    def keep(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return state | {name: held.state_dict()}

    def restore(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        held.load_state_dict(state[name])
        return {key: part for key, part in state.items() if key != name}

    optimizer.register_state_dict_post_hook(keep)
    optimizer.register_load_state_dict_pre_hook(restore)


class _Pair:
    """The factories of one task: an optimizer is that of the network which was made last."""

    def __init__(self, task: Task, attach: Callable[[nn.Module, Optimizer], None]) -> None:
        self._task, self._attach = task, attach
        self._made: weakref.ref[nn.Module] | None = None

    def model(self) -> nn.Module:
        """Make a network."""
        made = self._task.model()
        self._made = weakref.ref(made)
        return made

    def optimizer(self, params: Iterable[nn.Parameter]) -> Any:
        """Make the optimizer of the network that was made last."""
        given = list(params)
        assert callable(self._task.optimizer)
        made = self._task.optimizer(iter(given))
        network = None if self._made is None else self._made()
        if network is None or not any(own is one for own in network.parameters() for one in given):
            raise LastbitError("this change needs the optimizer of the network that was made last")
        one = next(iter(made.values())) if isinstance(made, Mapping) else made[0] if isinstance(made, list) else made
        self._attach(network, one)
        return made
