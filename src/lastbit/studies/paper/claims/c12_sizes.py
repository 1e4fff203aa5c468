"""How much C12 measures at each scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SIZES", "Sizes"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a scale measures.

    Attributes:
        seeds: of the linearised networks' weights.
        depths: of the linearised networks; widths and kernels likewise.
        widths: of them.
        kernels: of them.
        task: the images that networks are trained on.
        step: the measured step that the trainings' cost is told in.
        cost: how many of those a step of a training is worth, measurements included.
        train_size: examples.
        batch: of the mini-batches.
        steps: of each training.
        every: steps between measurements.
        lr: of all trainings of a network, below what its largest bears.
        trained_seeds: of the trainings.
        grown: by network and axis, the sizes that are trained.
    """

    seeds: int
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    task: str
    step: str
    cost: float
    train_size: int
    batch: int
    steps: int
    every: int
    lr: Mapping[str, float]
    trained_seeds: int
    grown: Mapping[tuple[str, str], tuple[int, ...]]


_GROWN = {("mlp", "depth"): (1, 2, 4, 8), ("mlp", "width"): (16, 32, 64, 128), ("cnn", "kernel"): (1, 3, 5, 7)}

SIZES: Mapping[str, Sizes] = {
    "small": Sizes(
        seeds=12,
        depths=(1, 2, 3, 4),
        widths=(2, 4, 8),
        kernels=(1, 3, 5),
        task="digits",
        step="digits",
        cost=1.8,
        train_size=200,
        batch=32,
        steps=60,
        every=15,
        lr={"mlp": 0.005, "cnn": 0.05},
        trained_seeds=10,
        grown=_GROWN,
    ),
    "medium": Sizes(
        seeds=24,
        depths=(1, 2, 3, 4, 6),
        widths=(2, 4, 8, 16),
        kernels=(1, 3, 5, 7),
        task="fashion-mnist",
        step="fashion",
        cost=0.2,
        train_size=300,
        batch=32,
        steps=100,
        every=15,
        lr={"mlp": 0.0005, "cnn": 0.01},
        trained_seeds=6,
        grown={**_GROWN, ("cnn", "depth"): (1, 2, 4)},
    ),
    "full": Sizes(
        seeds=48,
        depths=(1, 2, 3, 4, 6, 8),
        widths=(2, 4, 8, 16, 32),
        kernels=(1, 3, 5, 7),
        task="cifar10",
        step="cifar",
        cost=10.0,
        train_size=5000,
        batch=128,
        steps=2000,
        every=25,
        lr={"mlp": 0.0002, "cnn": 0.005},
        trained_seeds=6,
        grown={("mlp", "depth"): (1, 2, 4, 8, 16), ("mlp", "width"): (32, 64, 128, 256)}
        | {("cnn", "kernel"): (1, 3, 5, 7), ("cnn", "depth"): (1, 2, 4, 8)},
    ),
}
"""What is measured at each scale."""
