"""The built-in tasks and augmentations by name, with their data and every default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lastbit.core.references import resolved

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
        classes: number of classes.
        train_images: how many training images there are.
        pad: pixels by which random crops shift at most.
        defaults: every setting of `TaskConfig` but the task, its size and the folder of the data.
        summary: what it is, for help texts.
    """

    load: str
    shape: tuple[int, int, int]
    classes: int
    train_images: int
    pad: int
    defaults: Mapping[str, Any]
    summary: str


def _defaults(**values: Any) -> Mapping[str, Any]:
    common = {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "norm": "batch", "activation": "relu"}
    return MappingProxyType(common | values)


TASKS: dict[str, TaskSpec] = {
    # A setting in which the last bit matters: with norm "none", lr 0.05 and weight decay 5e-4 it hardly does.
    "digits": TaskSpec(
        load="lastbit.tasks.data.digits:load_digits",
        shape=(1, 8, 8),
        classes=10,
        train_images=1000,
        pad=1,
        defaults=_defaults(
            model="cnn",
            width=8,
            lr=0.3,
            weight_decay=5e-3,
            schedule="linear",
            epochs=20,
            batch_size=32,
            augment="none",
        ),
        summary="8x8 handwritten digits of scikit-learn, 1,000 for training and 797 for test; no download",
    ),
    "fashion-mnist": TaskSpec(
        load="lastbit.tasks.data.fashion_mnist:load_fashion_mnist",
        shape=(1, 28, 28),
        classes=10,
        train_images=60_000,
        pad=4,
        defaults=_defaults(
            model="cnn",
            width=8,
            lr=0.1,
            weight_decay=5e-4,
            schedule="linear",
            epochs=10,
            batch_size=128,
            augment="none",
        ),
        summary="28x28 grey images of clothing, 60,000 for training and 10,000 for test",
    ),
    # ResNet and augmentation of He et al. (2016), section 4.2, with a linear schedule.
    "cifar10": TaskSpec(
        load="lastbit.tasks.data.cifar10:load_cifar10",
        shape=(3, 32, 32),
        classes=10,
        train_images=50_000,
        pad=4,
        defaults=_defaults(
            model="resnet20",
            width=16,
            lr=0.1,
            weight_decay=5e-4,
            schedule="linear",
            epochs=60,
            batch_size=128,
            augment="crop-flip",
        ),
        summary="32x32 colour images, 50,000 for training and 10,000 for test",
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
        function: Callable[..., Tensor] = resolved(self.function)
        return partial(function, pad=pad) if self.padded else function


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(draws=0, function=None),
    "crop": Augmentation(draws=2, function="lastbit.tasks.augment:crop", padded=True),
    "flip": Augmentation(draws=1, function="lastbit.tasks.augment:flip"),
    "crop-flip": Augmentation(draws=3, function="lastbit.tasks.augment:crop_flip", padded=True),
}
"""The augmentations by name."""
