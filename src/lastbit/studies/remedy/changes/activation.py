"""A smooth activation in place of ReLU."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial

from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.studies.remedy.changes.change import Change, Subject
from lastbit.studies.remedy.changes.factories import with_model
from lastbit.studies.remedy.smoothing import smooth
from lastbit.tasks import Task

__all__ = ["Activation"]


def _smoothed(model: nn.Module, to: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of functions that stay: `check` lets them pass beside modules
        smooth(model, to=to)
    return model


@dataclass(frozen=True)
class Activation(Change):
    """Another activation in the place of every module `nn.ReLU`: `lb.remedies.smooth`.

    Attributes:
        to: `gelu` or `silu`.
    """

    to: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.to

    @property
    def says(self) -> str:
        """What it does."""
        return f"{'GELU' if self.to == 'gelu' else 'SiLU'} in place of every ReLU"

    def on(self, task: Task) -> Task:
        """Return the task with the activations replaced in every network that it makes."""
        return with_model(task, partial(_smoothed, to=self.to))

    def check(self, subject: Subject) -> None:
        """Refuse a network without a module to replace.

        Raises:
            LastbitError: there is none; functions such as `F.relu` cannot be seen from outside.
        """
        with LentGenerators(0).active():
            model = subject.task.model()
        try:
            _smoothed(model, self.to)
        except LastbitError as error:
            raise self.refused(str(error)) from None
