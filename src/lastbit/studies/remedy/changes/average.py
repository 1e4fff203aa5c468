"""The running mean of the weights as the network that is evaluated, beside a training that goes on as it was."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lastbit.core.batches import placed
from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.core.words import typed
from lastbit.studies.remedy.averaging import Average, ema
from lastbit.studies.remedy.changes.change import Change, Subject
from lastbit.studies.remedy.changes.factories import optimizers_of
from lastbit.tasks import Task

__all__ = ["RunningMean"]

_KEPT = "average"
"""Where the state of an optimizer holds the average."""

_BATCHES = 100
"""Of the training examples at most, from which the statistics of batch normalisation are taken."""


@dataclass(frozen=True)
class RunningMean(Change):
    """The exponential moving average of the weights, with its batch norm statistics re-estimated: `lb.remedies.ema`.

    What is trained, and what counts as its weights, stay as they were; in eval mode the network is the average.

    Attributes:
        decay: per step.
    """

    decay: float

    @property
    def name(self) -> str:
        """Its name."""
        return f"ema={typed(self.decay)}"

    @property
    def says(self) -> str:
        """What it does."""
        return f"the running mean of the weights, decay {typed(self.decay)} a step, in place of the last ones"

    def on(self, task: Task) -> Task:
        """Return the task whose networks are evaluated as averages."""
        pair = _Pair(task, self.decay)
        return replace(task, model=pair.model, optimizer=pair.optimizer)

    def check(self, subject: Subject) -> None:
        """Refuse a decay that is none, and a training of which it is not known when a step ends.

        Raises:
            LastbitError: the network cannot be averaged, or has several optimizers.
        """
        if len(optimizers_of(subject.task)) > 1:
            raise self.refused("the task has several optimizers, and which of them ends a step is not known")
        with LentGenerators(0).active():
            model = subject.task.model()
        try:
            ema(model, self.decay)
        except LastbitError as error:
            raise self.refused(str(error)) from None


class _Pair:
    """The factories of one task: the optimizer that is made after a network updates the average of that network."""

    def __init__(self, task: Task, decay: float) -> None:
        self._task, self._decay = task, decay
        self._made: weakref.ref[nn.Module] | None = None

    def model(self) -> nn.Module:
        """Make a network."""
        made = self._task.model()
        self._made = weakref.ref(made)
        return made

    def optimizer(self, params: Iterable[nn.Parameter]) -> Any:
        """Make the optimizer of the network that was made last, and let it keep the average.

        By now the network has its place and format.
        """
        given = list(params)
        assert callable(self._task.optimizer)
        made = self._task.optimizer(iter(given))
        network = None if self._made is None else self._made()
        if network is None or not any(own is one for own in network.parameters() for one in given):
            raise LastbitError("an average needs the optimizer of the network that was made last")
        one = next(iter(made.values())) if isinstance(made, dict) else made[0] if isinstance(made, list) else made
        _Averaged(network, ema(network, self._decay), self._task).follow(one)
        return made


class _Averaged:
    """A network that in eval mode is its average, which the state of its optimizer holds too."""

    def __init__(self, network: nn.Module, average: Average, task: Task) -> None:
        self._average, self._task = average, task
        self._own, self._trains = network.forward, weakref.ref(network)
        self._settled = False

        @functools.wraps(self._own)  # whose signature says what the network takes
        def forward(*args: Any, **kwargs: Any) -> Any:
            return self._forward(*args, **kwargs)

        network.forward = forward

    def follow(self, optimizer: Optimizer) -> None:
        """Update the average after every step of the optimizer, and let a checkpoint of it hold the average."""
        optimizer.register_step_post_hook(self._stepped)
        optimizer.register_state_dict_post_hook(self._kept)
        optimizer.register_load_state_dict_pre_hook(self._restored)

    def _stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._average.update()
        self._settled = False

    def _kept(self, optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return state | {_KEPT: self._average.state_dict()}

    def _restored(self, optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        self._average.load_state_dict(state[_KEPT])
        self._settled = False
        return {name: part for name, part in state.items() if name != _KEPT}

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        network = self._trains()
        if network is None or network.training:
            return self._own(*args, **kwargs)
        if not self._settled:
            self._average.restat(self._batches(network))
            self._settled = True
        return self._average.model(*args, **kwargs)

    def _batches(self, network: nn.Module) -> Iterator[Any]:
        """Yield training batches without augmentation, the same at every evaluation, spread over the examples."""
        task, some = self._task, next(network.parameters())
        many = max(1, min(_BATCHES, len(task.train) // task.batch_size))
        taken = torch.arange(min(len(task.train), many * task.batch_size))
        for indices in [taken] if many == 1 else [taken[start::many] for start in range(many)]:
            yield placed(task.train.batch(indices), some.device, some.dtype)
