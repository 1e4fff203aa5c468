"""A mean of the weights as the network that is evaluated, beside a training that goes on as it was."""

from __future__ import annotations

import functools
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lastbit.core.batches import placed
from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.core.words import plural, typed
from lastbit.studies.remedy.averaging import Average, ema
from lastbit.studies.remedy.changes.change import Change, Subject
from lastbit.studies.remedy.changes.factories import optimizers_of
from lastbit.studies.remedy.changes.paired import kept_by, paired
from lastbit.tasks import Task

__all__ = ["LateMean", "RunningMean"]

_BATCHES = 100
"""Of the training examples at most, from which the statistics of batch normalisation are taken."""


class Mean(Change):
    """A mean of the weights, with its batch norm statistics re-estimated.

    What is trained, and what counts as its weights, stay as they were; in eval mode the network is the mean, once it
    holds anything.
    """

    @abstractmethod
    def average(self, network: nn.Module) -> Average:
        """Return the mean that is to be kept of a network."""

    @abstractmethod
    def takes(self, task: Task) -> Callable[[int], bool]:
        """Return what tells of the number of a step whether the weights after it go into the mean."""

    def on(self, task: Task) -> Task:
        """Return the task whose networks are evaluated as means."""
        return paired(task, partial(self._attach, task))

    def _attach(self, task: Task, network: nn.Module, optimizer: Optimizer) -> None:
        _Averaged(network, self.average(network), task).follow(optimizer, self.takes(task))

    def check(self, subject: Subject) -> None:
        """Refuse a training of which it is not known when a step ends, and a network that cannot be averaged.

        Raises:
            LastbitError: it is one.
        """
        if len(optimizers_of(subject.task)) > 1:
            raise self.refused("the task has several optimizers, and which of them ends a step is not known")
        with LentGenerators(0).active():
            model = subject.task.model()
        try:
            self.average(model)
        except LastbitError as error:
            raise self.refused(str(error)) from None


@dataclass(frozen=True)
class RunningMean(Mean):
    """The exponential moving average of the weights: `lb.remedies.ema`.

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

    def average(self, network: nn.Module) -> Average:
        """Return the moving average of a network."""
        return ema(network, self.decay)

    def takes(self, task: Task) -> Callable[[int], bool]:
        """Take the weights after every step."""
        return lambda step: True


@dataclass(frozen=True)
class LateMean(Mean):
    """The equal mean of the weights at the ends of the last epochs, as stochastic weight averaging takes it.

    The learning rate stays as the task has it. In the epochs before, the network is evaluated as it is.

    Attributes:
        share: of the epochs, above 0 and at most 1.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018.
    """

    share: float

    @property
    def name(self) -> str:
        """Its name."""
        return f"late-mean={typed(self.share)}"

    @property
    def says(self) -> str:
        """What it does."""
        return f"the mean of the weights at the ends of the last {typed(100 * self.share)}% of the epochs"

    def average(self, network: nn.Module) -> Average:
        """Return the equal mean of a network."""
        return Average(network, None)

    def takes(self, task: Task) -> Callable[[int], bool]:
        """Take the weights at the ends of the last epochs."""
        every, before = task.steps_per_epoch, task.epochs - self._epochs(task)
        return lambda step: step % every == 0 and step > before * every

    def _epochs(self, task: Task) -> int:
        return round(self.share * task.epochs)

    def check(self, subject: Subject) -> None:
        """Refuse a share that is none, or holds one epoch.

        Raises:
            LastbitError: it does, or the network cannot be averaged.
        """
        if not 0 < self.share <= 1:
            raise self.refused("give the share of the epochs, above 0 and at most 1")
        if self._epochs(subject.task) < 2:
            epochs = plural(subject.task.epochs, "epoch")
            raise self.refused(f"of {epochs} that is {self._epochs(subject.task)}, and a mean needs two")
        super().check(subject)


class _Averaged:
    """A network that in eval mode is its average, which the state of its optimizer holds too."""

    def __init__(self, network: nn.Module, average: Average, task: Task) -> None:
        self._average, self._task = average, task
        self._own, self._trains = network.forward, weakref.ref(network)
        self._steps = 0
        self._settled = False

        @functools.wraps(self._own)  # whose signature says what the network takes
        def forward(*args: Any, **kwargs: Any) -> Any:
            return self._forward(*args, **kwargs)

        network.forward = forward

    def follow(self, optimizer: Optimizer, takes: Callable[[int], bool]) -> None:
        """Update the average after those steps of the optimizer, and let a checkpoint of it hold the average."""
        optimizer.register_step_post_hook(lambda *_: self._stepped(takes))
        kept_by(optimizer, "average", self)

    def _stepped(self, takes: Callable[[int], bool]) -> None:
        self._steps += 1
        if takes(self._steps):
            self._average.update()
            self._settled = False

    def state_dict(self) -> dict[str, Any]:
        """Return the average and how many steps were taken."""
        return {"steps": self._steps, "mean": self._average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from them."""
        self._steps = state["steps"]
        self._average.load_state_dict(state["mean"])
        self._settled = False

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        network = self._trains()
        if network is None or network.training or not self._average.updates:
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
