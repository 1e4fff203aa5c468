"""The non-linear flows that C8 and C9 simulate, and the learning rates at which."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lastbit.pde.cnn.images import make_image
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels

__all__ = ["REFERENCE", "REFERENCE_RATES", "FlowSetting", "arguments", "steps_of", "swept"]


class FlowSetting(NamedTuple):
    """One flow: image, window, weight decay and start, and how long it is followed.

    `seed` -1 is the start of the values that were computed independently.
    """

    image: str
    size: int
    kernel: int
    decay: float
    seed: int
    steps: int
    channels: int = 1

    @property
    def words(self) -> str:
        """The flow in a few words."""
        start = "the reference start" if self.seed < 0 else f"start {self.seed}"
        channels = f" of {self.channels} channels" if self.channels > 1 else ""
        return f"{self.image} {self.size} x {self.size}{channels}, window {self.kernel} x {self.kernel}, {start}"

    @property
    def unseen(self) -> bool:
        """Whether parts of the kernel meet no patch of the image: then the upper end is exactly 2/α."""
        return self.image == "checkerboard"


REFERENCE = FlowSetting("checkerboard", 256, 32, 20.0, -1, 400)
"""Computed independently, at label 1 and with mean pooling."""

REFERENCE_RATES = (0.01, 0.03, 0.05, 0.07, 0.09, 0.1, 0.101, 0.11, 0.13)
"""Learning rates at which it was; 0.1 is 2/α itself, where the flow is marginal."""


def arguments(setting: FlowSetting) -> dict[str, Any]:
    """Return problem, start and weight decay, as simulations take them."""
    image = make_image(setting.image, size=setting.size, channels=setting.channels)
    problem = CnnProblem.of(image, kernel=setting.kernel)
    return {"problem": problem, "kernel": _start(setting, problem), "weight_decay": setting.decay}


def _start(setting: FlowSetting, problem: CnnProblem) -> Tensor:
    if setting.seed < 0:
        return torch.as_tensor(np.random.RandomState(7).randn(*problem.kernel_shape))
    return initial_kernels(problem, (setting.seed,))[0]


def swept(setting: FlowSetting, count: int) -> list[float]:
    """Return learning rates from a twentieth of 2/α to one and a half times it, evenly spaced; never 1/α or 2/α.

    At 1/α a step cancels the kernel's start, and 2/α is an end.
    """
    rates = np.linspace(0.05, 1.5, count) * 2 / setting.decay
    special = np.array([[1.0], [2.0]]) / setting.decay
    return [float(rate) for rate in rates if (abs(rate / special - 1) > 1e-3).all()]


def steps_of(setting: FlowSetting, members: int) -> float:
    """Return how many steps of the flow on an image of 64 x 64 cost as much."""
    return members * setting.steps * setting.channels * (setting.size / 64) ** 2
