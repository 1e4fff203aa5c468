"""The training a study repeats: network, examples, loss, optimizer and metric, bound and checked in one object."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils import data

from lastbit.core.errors import LastbitError, choose
from lastbit.tasks.checks import check_task
from lastbit.tasks.metric import ACCURACY, PREDICTIONS, Metric
from lastbit.tasks.reading import Collate
from lastbit.tasks.sampling import Sampler, count_batches
from lastbit.tasks.split import Source, Split, read_alike
from lastbit.tasks.stepping import Optimizers, Schedules, Step
from lastbit.tasks.summing import SumWarning, said_of_a_sum

__all__ = ["Task"]

_LONGEST = 200
"""Characters of a name."""

_MOST = 10**9
"""Of any number: what is larger is a slip of the pen."""

_MOST_WORKERS = 1_000
"""Processes that read."""

_LEAST = {"epochs": 1, "batch_size": 1, "augment_draws": 0, "patience": 1, "loader_workers": 0}
"""Of the fields that are whole numbers."""

SELECTIONS = ("last", "best", "early")
"""Which epoch's network is the result."""

_WRITE = {
    "optimizer": "optimizer=lambda params: [...] or, for parts of the model, optimizer={part: function, ...}",
    "schedule": "schedule=lambda optimizer, steps: torch.optim.lr_scheduler.StepLR(optimizer, 100)",
    "sampler": "sampler=lambda generator: torch.utils.data.WeightedRandomSampler(..., generator=generator)",
}
"""In place of something that is no function."""

_OWN_SERIES = ("train_loss", "test_loss", "validation_loss")
"""Names that no metric may have."""


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


class OptionalExamples(Examples):
    """The same where there may be none."""

    def __get__(self, task: object, owner: type) -> Split | None:  # type: ignore[override]
        return None if task is None else task.__dict__[self._name]

    def __set__(self, task: object, source: Source | None) -> None:
        task.__dict__[self._name] = None if source is None else Split(source, name=self._name)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training, described so that it can be repeated bit for bit, or with one bit changed.

    A batch is `(inputs, targets)`: the model is called on the inputs, which may be one tensor, a tuple of arguments or
    a mapping of keywords. A longer tuple stands for `((first, second, ...), last)`; of a mapping the model gets the
    entries that its `forward` takes by name, and loss and metrics get the whole mapping as targets.

    Attributes:
        name: its name.
        model: makes a new network; called under a seeded global random generator, which decides the initial weights.
        train: the training examples; tensors, arrays (memory-mapped ones too), a dataset or a `DataLoader` are accepted
            (see `Split`).
        test: the test examples, likewise.
        optimizer: makes the optimizer from the parameters, `lambda params: torch.optim.SGD(params, lr=0.1)`; or
            several, in a list or by name; or a mapping of such functions, each of which gets the parameters of the
            part of the model that has its name.
        loss: maps outputs and targets of a batch to a scalar, the mean over the batch. Cross entropy by default; with
            a `step` None, and then no test loss is measured.
        step: a training step of its own, `step(state, batch) -> loss`, in place of the built-in one: it takes the
            gradient, steps the optimizers (see `State`) and returns the loss to record.
        metric: what the training is judged by.
        metrics: several of them in place of one; the first is what the training is judged by.
        predict: maps outputs to integer predictions `(N,)`, from which the disagreement of two networks (churn) is
            measured. What the first metric says where it is an accuracy; else None, and churn is not measured.
        schedule: makes a learning-rate scheduler from the optimizer and the total number of steps, or a mapping of
            such functions by optimizer; it is stepped once after every step, a `ReduceLROnPlateau` at the end of every
            epoch with the validation loss (in mode "max": the first metric), without validation with the mean training
            loss. None keeps the rate.
        augment: maps inputs `(B, ...)` and draws `(B, augment_draws)`, uniform in [0, 1), to inputs. Row `i` may
            depend only on row `i` of both, so that a sample is augmented alike in whichever batch it is.
        augment_draws: how many uniform draws each sample gets.
        sampler: draws the examples of an epoch from a seeded generator, `lambda generator: WeightedRandomSampler(
            weights, 1000, generator=generator)`; indices, or lists of indices that are the batches. None takes every
            example once, in random order.
        epochs: passes over the training examples.
        batch_size: examples in every step.
        drop_last: whether the examples that do not fill the last batch are left out of that epoch.
        validation: examples by which the result is selected, like `test`.
        select: the network that is the result: that of the `"last"` epoch, that of the epoch which is `"best"` by the
            first metric on the validation examples, or that one with the training ended `"early"`, once no epoch was
            better for `patience` epochs. Selection is part of what is repeated.
        patience: see `select`.
        collate: makes a batch of a list of examples, for datasets whose examples cannot just be stacked, as
            `lastbit.padded()`.
        loader_workers: processes that read the examples of datasets ahead of the training; 0 reads them in the process
            that trains. It changes no bit. Each process of a study starts as many, unless its cores are taken.
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
    optimizer: Optimizers
    loss: Callable[[Any, Any], Tensor] | None = None
    step: Step | None = None
    metric: Metric = None  # type: ignore[assignment]
    metrics: Sequence[Metric] = ()
    predict: Callable[[Any], Tensor] | None = None
    schedule: Schedules | None = None
    augment: Callable[[Tensor, Tensor], Tensor] | None = None
    augment_draws: int = 0
    sampler: Sampler | None = None
    epochs: int = 10
    batch_size: int = 128
    drop_last: bool = True
    validation: OptionalExamples = OptionalExamples()
    select: str = "last"
    patience: int = 5
    collate: Collate | None = None
    loader_workers: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fill in what follows from the other fields, and check them all."""
        if self.loss is None and self.step is None:
            object.__setattr__(self, "loss", F.cross_entropy)
        self._settle_metrics()
        if self.predict is None:
            object.__setattr__(self, "predict", next((f for metric, f in PREDICTIONS if metric == self.metric), None))
        self._check_fields()
        self._settle_reading()
        sizes = {
            "name": self.name,
            "metric": self.metric.name,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "train_size": len(self.train),
            "test_size": len(self.test),
        }
        if self.validation is not None:
            sizes |= {"validation_size": len(self.validation), "select": self.select}
        object.__setattr__(self, "settings", {**(self.settings or {}), **sizes})
        try:
            json.dumps(self.settings, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise LastbitError(f"settings must be plain values (text, numbers, lists, dicts): {error}") from None

    def _settle_metrics(self) -> None:
        """Make `metric` the first of `metrics`."""
        given = [self.metric or ACCURACY] if not self.metrics else self.metrics
        if isinstance(given, Metric) or not isinstance(given, Sequence):
            raise LastbitError(f"metrics must be a list of Metrics, got a {type(given).__name__}: write metrics=[...]")
        for metric in given:
            if not isinstance(metric, Metric):
                raise LastbitError(f"metric must be a lastbit Metric, got {metric!r}: write ACCURACY or Metric(...)")
            _check_name("a metric's name", metric.name)
        if self.metrics and self.metric is not None and self.metric != given[0]:
            raise LastbitError("give metric= or metrics=[...], not both: the first of metrics is the metric")
        names = [metric.name for metric in given]
        taken = [
            name for name in names if name in _OWN_SERIES or name.startswith("validation_") or names.count(name) > 1
        ]
        if taken:
            raise LastbitError(
                f"a metric's name must be its own, and not begin with validation_; got {taken[0]!r} "
                + ("twice" if names.count(taken[0]) > 1 else "")
            )
        object.__setattr__(self, "metric", given[0])

    def _settle_reading(self) -> None:
        """Let all examples be read with the task's collate function, and by the same processes."""
        splits = {"train": self.train, "test": self.test, "validation": self.validation}
        there = {name: split for name, split in splits.items() if split is not None}
        self.__dict__.update(read_alike(there, self.collate, self.loader_workers))
        if self.train.is_stream and self.sampler is not None:
            raise LastbitError("sampler draws examples by index, but train is a stream, with an order of its own")

    @property
    def all_metrics(self) -> tuple[Metric, ...]:
        """Every metric, first the one that the training is judged by."""
        return tuple(self.metrics) or (self.metric,)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass."""
        return count_batches(len(self.train), self.batch_size, sampler=self.sampler, drop_last=self.drop_last)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training, unless it ends early."""
        return self.epochs * self.steps_per_epoch

    def _check_fields(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise LastbitError(f"a task's name must be a word, got {self.name!r}")
        _check_name("a task's name", self.name)
        if isinstance(self.model, nn.Module):
            raise LastbitError(
                f"model must be a function that makes a new network, got an instance of {type(self.model).__name__}: "
                f"write model=lambda: {type(self.model).__name__}(...)"
            )
        for name in ("model", "optimizer", "loss", "step", "predict", "schedule", "augment", "sampler", "collate"):
            self._check_function(name, getattr(self, name))
        choose(str(self.select), SELECTIONS, "select")
        if self.select != "last" and self.validation is None:
            raise LastbitError(
                f"select = {self.select!r} needs validation examples: write validation=(inputs, targets)"
            )
        if not isinstance(self.drop_last, bool):
            raise LastbitError(f"drop_last must be True or False, got {self.drop_last!r}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise LastbitError(f"{name} must be a whole number of at least {least}, got {value!r}")
            most = _MOST_WORKERS if name == "loader_workers" else _MOST
            if value > most:
                raise LastbitError(f"{name} must be at most {most}, got {value:.3g}")
        if self.augment_draws and self.augment is None:
            raise LastbitError(f"augment_draws = {self.augment_draws}, but there is no augment to use them")

    def _check_function(self, name: str, value: Any) -> None:
        if isinstance(value, Optimizer):
            kind = type(value).__name__
            raise LastbitError(
                f"{name} must be a function of the parameters, got an instance of {kind}: write lambda params: "
                f"torch.optim.{kind}(params, ...)"
            )
        if name in ("optimizer", "schedule") and isinstance(value, Mapping) and value:
            for key, one in value.items():
                self._check_function(f"{name}[{key!r}]", one)
        elif name in _WRITE and isinstance(value, list | tuple | data.Sampler | LRScheduler):
            raise LastbitError(f"{name} must be a function, got a {type(value).__name__}: write {_WRITE[name]}")
        elif not callable(value) and (value is not None or name in ("model", "optimizer")):
            optional = "" if name.startswith(("model", "optimizer", "loss")) else " or None"
            raise LastbitError(f"{name} must be a function{optional}, got {value!r}")

    def check(self) -> None:
        """Try the task on one batch, and report in one line what does not fit.

        Builds the network and its optimizer once, runs one batch of the training and of the test examples through
        augmentation, network, loss, gradient, metric and prediction; a `step` of the task's own is tried once. The
        global random generators are left as they were. A loss that sums over its batch is a warning.

        Raises:
            LastbitError: names the first part that does not fit the others.
        """
        check_task(self)
        if said := said_of_a_sum(self):
            warnings.warn(said, SumWarning, stacklevel=2)
