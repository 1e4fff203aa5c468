"""Every choice a built-in task offers, as one validated set of settings that can be stored and run again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, field_validator, model_validator

from lastbit.core.config import Config
from lastbit.core.errors import LastbitError, choose
from lastbit.core.keywords import setting
from lastbit.optimizers.registry import OPTIMIZERS
from lastbit.tasks.losses import LOSSES
from lastbit.tasks.models import ACTIVATIONS, MODELS, NORMS, PLAIN
from lastbit.tasks.registry import AUGMENTATIONS, TASKS
from lastbit.tasks.schedules import SCHEDULES

__all__ = ["FILE_MAY_SET", "TaskConfig", "is_task_file"]

_NAMES: dict[str, Iterable[str]] = {
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "norm": NORMS,
    "activation": ACTIVATIONS,
    "augment": AUGMENTATIONS,
    "loss": LOSSES,
}

FILE_MAY_SET = ("epochs", "batch_size", "train_size")
"""What may be set from outside of a task that a user's file defines; the rest the file decides itself."""


def is_task_file(task: str) -> bool:
    """Whether a task's name is that of a function in a user's file."""
    return ":" in task or task.endswith(".py")


class TaskConfig(Config):
    """What to train and how.

    A field left at None takes the default of its task, model or optimizer; `resolve` fills them all in.

    Raises:
        LastbitError: an unknown name, or settings that contradict each other.
        pydantic.ValidationError: a number out of range (one line through `lastbit.core.config.validated`).

    Example:
        >>> TaskConfig(task="digits", lr=0.05, norm="none").lr
        0.05
    """

    model_config = ConfigDict(json_schema_extra={"panel": "The training"})

    task: str = setting(
        "task: digits, fashion-mnist, cifar10, or FILE.py:FUNCTION (a function that makes a Task; for audit and "
        "trace also one of a seed that trains)",
        "digits",
        words=TASKS,
    )
    model: str | None = setting(f"network: {', '.join(MODELS)}", None, words=MODELS)
    optimizer: str | None = setting(f"optimizer: {', '.join(OPTIMIZERS)}", None, words=OPTIMIZERS)
    lr: float | None = setting("learning rate at the start, the time step of training", None, gt=0)
    momentum: float | None = setting("momentum of sgd and rmsprop", None, ge=0, lt=1)
    nesterov: bool | None = setting("Nesterov's form of sgd momentum", None)
    weight_decay: float | None = setting("weight decay, on every parameter", None, ge=0)
    schedule: str | None = setting(f"learning rate over the steps: {', '.join(SCHEDULES)}", None, words=SCHEDULES)
    epochs: int | None = setting("passes over the training examples", None, ge=1, le=1_000_000_000)
    batch_size: int | None = setting("examples per step", None, ge=1)
    train_size: int | None = setting("training examples to keep, balanced over the classes", None, ge=1)
    norm: str | None = setting(f"normalisation: {', '.join(NORMS)}", None, words=NORMS)
    activation: str | None = setting(f"activation: {', '.join(ACTIVATIONS)}", None, words=ACTIVATIONS)
    width: int | None = setting(
        "channels of the first layer, units of an mlp's hidden layers", None, ge=1, le=1_000_000
    )
    depth: int | None = setting("hidden layers of an mlp, convolutions of a cnn, all alike", None, ge=1, le=10_000)
    kernel: int | None = setting("side of a cnn's kernels, odd; needs depth", None, ge=1, le=1_001)
    loss: str | None = setting(f"training loss: {', '.join(LOSSES)}", None, words=LOSSES)
    augment: str | None = setting(
        f"augmentation of training images: {', '.join(AUGMENTATIONS)}", None, words=AUGMENTATIONS
    )
    data_root: str | None = setting("folder that holds the data set's files", None)

    @property
    def is_file(self) -> bool:
        """Whether the task is a function in a user's file."""
        return is_task_file(self.task)

    @field_validator("task")
    @classmethod
    def _from_any_folder(cls, task: str) -> str:
        """Name a file by its whole path, so that a study of it goes on from any folder."""
        name, colon, function = task.rpartition(":")
        return f"{Path(name).expanduser().absolute()}:{function}" if colon and name.endswith(".py") else task

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.is_file:
            choose(self.task, [*TASKS, "FILE.py:FUNCTION"], "task")
        for field, valid in _NAMES.items():
            value = getattr(self, field)
            if value is not None:
                choose(value, valid, field)
        if self.is_file:
            self._check_file()
        else:
            self._check_optimizer()
            self._check_network()
        return self

    def _check_file(self) -> None:
        for field in type(self).model_fields:
            if field not in ("task", *FILE_MAY_SET) and getattr(self, field) is not None:
                raise LastbitError(
                    f"{field} = {getattr(self, field)!r}: {self.task} sets that itself; "
                    f"only {', '.join(FILE_MAY_SET)} can be set from outside"
                )

    def _check_optimizer(self) -> None:
        name = self.optimizer or TASKS[self.task].defaults["optimizer"]
        for option in ("momentum", "nesterov"):
            if getattr(self, option) and option not in OPTIMIZERS[name].options:
                able = [other for other, spec in OPTIMIZERS.items() if option in spec.options]
                raise LastbitError(f"{option} = {getattr(self, option)!r}: {name} has none; {' and '.join(able)} do")
        if self.nesterov and self.momentum == 0:
            raise LastbitError("nesterov = True needs a momentum above 0: write momentum = 0.9, or nesterov = False")

    def _check_network(self) -> None:
        model = self.model or TASKS[self.task].defaults["model"]
        if self.depth is not None and model not in PLAIN:
            raise LastbitError(f"--depth: {model} has a fixed depth; --model {' or '.join(PLAIN)} can be varied")
        if self.kernel is None:
            return
        if model != "cnn":
            raise LastbitError(f"--kernel: {model} has no kernel to vary; write --model cnn")
        if self.kernel % 2 == 0:
            raise LastbitError(f"--kernel = {self.kernel}: give an odd side, such as 3")
        if self.depth is None:
            raise LastbitError(f"--kernel = {self.kernel} needs a depth: write --depth too, such as --depth 2")
