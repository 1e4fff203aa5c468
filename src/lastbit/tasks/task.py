"""The training a study repeats: network, examples, loss, optimizer and metric, bound and checked in one object."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lastbit.core.errors import LastbitError
from lastbit.tasks.checks import check_task
from lastbit.tasks.metric import ACCURACY, Metric
from lastbit.tasks.split import Source, Split

__all__ = ["Task"]

_LONGEST = 200
"""Characters of a name."""

_MOST = 10**9
"""Of any number: what is larger is a slip of the pen."""


def _argmax(outputs: Tensor) -> Tensor:
    return outputs.argmax(1)


def _check_name(what: str, name: str) -> None:
    """Refuse a name that no table, file or JSON could hold."""
    if len(name) > _LONGEST:
        raise LastbitError(f"{what} has {len(name)} characters ({name[:20]}...): write at most {_LONGEST}")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise LastbitError(f"{what} {name!a} has half a character (a lone surrogate): write whole ones")


class Examples:
    """A field that takes any `Source` of examples and holds it as a `Split` of the field's name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, task: object, owner: type) -> Split:
        if task is None:
            raise AttributeError(self._name)  # which tells the dataclass that the field has no default
        split: Split = task.__dict__[self._name]
        return split

    def __set__(self, task: object, source: Source) -> None:
        task.__dict__[self._name] = Split(source, name=self._name)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training, described so that it can be repeated bit for bit, or with one bit changed.

    Attributes:
        name: its name.
        model: makes a new network; called under a seeded global random generator, which decides the initial weights.
        train: the training examples; two tensors, a map-style dataset or a `DataLoader` are accepted (see `Split`).
        test: the test examples, likewise.
        optimizer: makes the optimizer from the parameters, `lambda params: torch.optim.SGD(params, lr=0.1)`.
        loss: maps outputs and targets of a batch to a scalar, the mean over the batch.
        metric: what the training is judged by.
        predict: maps outputs to integer predictions `(N,)`, from which the disagreement of two networks (churn) is
            measured. The largest output where the metric is accuracy; else None, and churn is not measured.
        schedule: makes a learning-rate scheduler from the optimizer and the total number of steps; it is stepped once
            after every optimizer step. None keeps the rate.
        augment: maps inputs `(B, ...)` and draws `(B, augment_draws)`, uniform in [0, 1), to inputs. Row `i` may
            depend only on row `i` of both, so that a sample is augmented alike in whichever batch it is.
        augment_draws: how many uniform draws each sample gets.
        epochs: passes over the training examples.
        batch_size: examples in every step; those that do not fill the last batch are left out of that epoch.
        settings: plain values to print and store with the study; the sizes are added to them.

    Raises:
        LastbitError: a field is of the wrong kind.

    Example:
        >>> import torch
        >>> x, y = torch.randn(64, 5), torch.randint(3, (64,))
        >>> task = Task(
        ...     name="toy",
        ...     model=lambda: nn.Linear(5, 3),
        ...     train=(x, y),
        ...     test=(x, y),
        ...     optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
        ...     batch_size=16,
        ... )
        >>> task.check()
        >>> task.settings["train_size"]
        64
    """

    name: str
    model: Callable[[], nn.Module]
    train: Examples = Examples()
    test: Examples = Examples()
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    metric: Metric = ACCURACY
    predict: Callable[[Tensor], Tensor] | None = None
    schedule: Callable[[Optimizer, int], LRScheduler] | None = None
    augment: Callable[[Tensor, Tensor], Tensor] | None = None
    augment_draws: int = 0
    epochs: int = 10
    batch_size: int = 128
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fill in what follows from the other fields, and check them all."""
        if self.predict is None and self.metric == ACCURACY:
            object.__setattr__(self, "predict", _argmax)
        self._check_fields()
        sizes = {
            "name": self.name,
            "metric": self.metric.name,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "train_size": len(self.train),
            "test_size": len(self.test),
        }
        object.__setattr__(self, "settings", {**(self.settings or {}), **sizes})
        try:
            json.dumps(self.settings, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise LastbitError(f"settings must be plain values (text, numbers, lists, dicts): {error}") from None

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass; the examples of an incomplete last batch are left out of it."""
        return len(self.train) // self.batch_size

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    def _check_fields(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise LastbitError(f"a task's name must be a word, got {self.name!r}")
        if isinstance(self.metric, Metric):
            _check_name("a metric's name", self.metric.name)
        _check_name("a task's name", self.name)
        if isinstance(self.model, nn.Module):
            raise LastbitError(
                f"model must be a function that makes a new network, got an instance of {type(self.model).__name__}: "
                f"write model=lambda: {type(self.model).__name__}(...)"
            )
        if isinstance(self.optimizer, Optimizer):
            raise LastbitError(
                f"optimizer must be a function of the parameters, got an instance of {type(self.optimizer).__name__}: "
                f"write optimizer=lambda params: torch.optim.{type(self.optimizer).__name__}(params, ...)"
            )
        for name in ("model", "optimizer", "loss"):
            if not callable(getattr(self, name)):
                raise LastbitError(f"{name} must be a function, got {getattr(self, name)!r}")
        for name in ("predict", "schedule", "augment"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise LastbitError(f"{name} must be a function or None, got {getattr(self, name)!r}")
        if not isinstance(self.metric, Metric):
            raise LastbitError(f"metric must be a lastbit Metric, got {self.metric!r}: write ACCURACY or Metric(...)")
        for name, least in (("epochs", 1), ("batch_size", 1), ("augment_draws", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise LastbitError(f"{name} must be a whole number of at least {least}, got {value!r}")
            if value > _MOST:
                raise LastbitError(f"{name} must be at most {_MOST}, got {value:.3g}")
        if self.augment_draws and self.augment is None:
            raise LastbitError(f"augment_draws = {self.augment_draws}, but there is no augment to use them")

    def check(self) -> None:
        """Try the task on one batch, and report in one line what does not fit.

        Builds the network and its optimizer once, runs one batch of the training and of the test examples through
        augmentation, network, loss, gradient, metric and prediction. No step is taken and the global random
        generators are left as they were.

        Raises:
            LastbitError: names the first part that does not fit the others.
        """
        check_task(self)
