"""The built-in tasks and augmentations by name, with their data and every default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AUGMENTATIONS", "TASKS", "Augmentation", "TaskSpec"]


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A built-in task.

    Attributes:
        load: `module:name` of what returns the decoded data set (`Images`), given the folder where the user says it
            lies, or None.
        shape: channels, height and width of an image.
        train_images: how many training images there are.
        defaults: every setting of `TaskConfig` but the task, its size and the folder of the data.
        pad: pixels by which random crops shift at most.
        classes: number of classes.
    """

    load: str
    shape: tuple[int, int, int]
    train_images: int
    defaults: Mapping[str, Any]
    pad: int = 4
    classes: int = 10


_DEFAULTS = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": True,
    "norm": "batch",
    "activation": "relu",
    "lr": 0.1,
    "weight_decay": 5e-4,
    "schedule": "linear",
    "batch_size": 128,
    "augment": "none",
}
"""The defaults of every task that says nothing else."""


TASKS: dict[str, TaskSpec] = {
    # A setting in which the last bit matters: with norm "none", lr 0.05 and weight decay 5e-4 it hardly does.
    "digits": TaskSpec(
        load="lastbit.tasks.data.digits:load_digits",
        shape=(1, 8, 8),
        train_images=1000,
        pad=1,
        defaults=_DEFAULTS
        | {"model": "cnn", "width": 8, "lr": 0.3, "weight_decay": 5e-3, "epochs": 20, "batch_size": 32},
    ),
    "fashion-mnist": TaskSpec(
        load="lastbit.tasks.data.fashion_mnist:load_fashion_mnist",
        shape=(1, 28, 28),
        train_images=60_000,
        defaults=_DEFAULTS | {"model": "cnn", "width": 8, "epochs": 10},
    ),
    # ResNet and augmentation of He et al. (2016), section 4.2, with a linear schedule.
    "cifar10": TaskSpec(
        load="lastbit.tasks.data.cifar10:load_cifar10",
        shape=(3, 32, 32),
        train_images=50_000,
        defaults=_DEFAULTS | {"model": "resnet20", "width": 16, "epochs": 60, "augment": "crop-flip"},
    ),
}
"""The built-in tasks by name."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A named augmentation: the draws it needs per sample, and where its function stands."""

    draws: int
    function: str | None
    padded: bool = False
    """Whether the function takes `pad`."""

    def make(self, pad: int) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Return what maps images and draws to images, for a padding; None where nothing is changed."""
        if self.function is None:
            return None
        function: Callable[..., Tensor] = resolve_name(self.function)
        return partial(function, pad=pad) if self.padded else function


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(draws=0, function=None),
    "crop": Augmentation(draws=2, function="lastbit.tasks.augment:crop", padded=True),
    "flip": Augmentation(draws=1, function="lastbit.tasks.augment:flip"),
    "crop-flip": Augmentation(draws=3, function="lastbit.tasks.augment:crop_flip", padded=True),
}
"""The augmentations by name."""
