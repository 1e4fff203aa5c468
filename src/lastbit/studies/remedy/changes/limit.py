"""Steps held at the stability limit while a training runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from lastbit.core.batches import apply_model, call_names, pair_of, placed, widened
from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.core.words import plural
from lastbit.curvature import ModelLoss
from lastbit.studies.remedy.changes.change import Change, Subject
from lastbit.studies.remedy.changes.factories import optimizers_of
from lastbit.studies.remedy.changes.paired import kept_by, paired
from lastbit.studies.remedy.step_limits import StepLimit, step_limit
from lastbit.tasks import Task
from lastbit.tasks.stepping import make_optimizers, needs_closure

__all__ = ["StepsLimited"]


@dataclass(frozen=True)
class StepsLimited(Change):
    """Every step held at the largest stable learning rate, measured every so many steps: `lb.remedies.step_limit`.

    It is measured on the first training examples, as many as a batch has, without augmentation.

    Attributes:
        every: steps between two measurements.
        per_layer: hold each layer at its own limit, in place of the whole at that of the whole.
    """

    every: int
    per_layer: bool

    @property
    def name(self) -> str:
        """Its name."""
        return f"{'layer-' if self.per_layer else ''}step-limit={self.every}"

    @property
    def says(self) -> str:
        """What it does."""
        whose = "each layer's steps held at the stability limit of that layer" if self.per_layer else "steps held at"
        return f"{whose}{'' if self.per_layer else ' the stability limit'}, measured every {plural(self.every, 'step')}"

    def on(self, task: Task) -> Task:
        """Return the task whose optimizers are limited."""
        return paired(task, partial(self._attach, task))

    def _attach(self, task: Task, network: nn.Module, optimizer: Optimizer) -> None:
        kept_by(optimizer, "step limit", self._limit(task, network, optimizer))

    def _limit(self, task: Task, network: nn.Module, optimizer: Optimizer) -> StepLimit:
        weight = next(network.parameters())
        names, examples = call_names(network), torch.arange(min(len(task.train), task.batch_size))

        def loss(model: nn.Module, batch: object) -> torch.Tensor:
            inputs, targets = pair_of(batch, names)
            assert task.loss is not None
            return task.loss(widened(apply_model(model, inputs)), widened(targets))

        return step_limit(
            optimizer,
            network,
            ModelLoss(loss),
            placed(task.train.batch(examples), weight.device, weight.dtype),
            per_layer=self.per_layer,
            every=self.every,
        )

    def check(self, subject: Subject) -> None:
        """Refuse what cannot be measured in a training, or limited.

        Raises:
            LastbitError: it has several optimizers, one that steps within a closure, no loss of outputs and targets,
                or one that cannot be differentiated twice.
        """
        task, optimizers = subject.task, optimizers_of(subject.task)
        if not self.every:
            raise self.refused("give the steps between two measurements, 1 or more")
        if len(optimizers) > 1:
            raise self.refused("the task has several optimizers, whose limits depend on each other")
        if needs_closure(optimizers[0]):
            raise self.refused("the optimizer computes its gradients within its step")
        if task.loss is None:
            raise self.refused("the task has no loss= of outputs and targets")
        try:
            with LentGenerators(0).active():
                network = task.model()
                (optimizer,) = make_optimizers(task.optimizer, network)[0].values()
                self._limit(task, network, optimizer)
        except LastbitError as error:
            raise self.refused(str(error)) from None
