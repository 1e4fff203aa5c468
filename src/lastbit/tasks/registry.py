"""The built-in tasks by name, with their data and every default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lastbit.tasks.data.cifar10 import load_cifar10
from lastbit.tasks.data.digits import TRAIN_IMAGES, load_digits
from lastbit.tasks.data.fashion_mnist import load_fashion_mnist
from lastbit.tasks.data.images import Images

__all__ = ["TASKS", "TaskSpec"]


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A built-in task.

    Attributes:
        load: returns the decoded data set, given the folder where the user says it lies, or None.
        shape: channels, height and width of an image.
        classes: number of classes.
        train_images: how many training images there are.
        pad: pixels by which random crops shift at most.
        defaults: every setting of `TaskConfig` but the task, its size and the folder of the data.
        summary: what it is, for help texts.
    """

    load: Callable[[str | None], Images]
    shape: tuple[int, int, int]
    classes: int
    train_images: int
    pad: int
    defaults: Mapping[str, Any]
    summary: str


def _load_digits(data_root: str | None) -> Images:
    return load_digits()


def _defaults(**values: Any) -> Mapping[str, Any]:
    common = {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "norm": "batch", "activation": "relu"}
    return MappingProxyType(common | values)


TASKS: dict[str, TaskSpec] = {
    # A setting in which the last bit matters: with norm "none", lr 0.05 and weight decay 5e-4 it hardly does.
    "digits": TaskSpec(
        load=_load_digits,
        shape=(1, 8, 8),
        classes=10,
        train_images=TRAIN_IMAGES,
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
        load=load_fashion_mnist,
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
        load=load_cifar10,
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
