"""What every study of the one-layer CNN's PDE starts from: image, window, activation, label, scheme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field

from lastbit.core.config import Config, validated
from lastbit.core.device import resolve_device
from lastbit.pde import TimeScheme, descent_scheme
from lastbit.pde.cnn import CnnProblem, initial_kernels, make_image

__all__ = ["CnnSetting", "Progress", "cnn_setting"]

Progress = Callable[[int, int], None]
"""Called with (done, all) now and then."""


class CnnSetting(Config):
    """The problem and the scheme.

    Attributes:
        image: `checkerboard`, `noise`, or an image file.
        image_size: rows and columns.
        channels: of the image; a file has 1 (luma) or 3.
        kernel: rows and columns of the window.
        beta: scale inside the swish.
        label: 0 to 1.
        pooling: `mean` or `sum` over positions.
        boundary: `valid` or `periodic`.
        scheme: `euler`, `heavy-ball` or `nesterov`.
        momentum: of the latter two, 0.9 when None.
        seed: of the noise image and of the start.
        init_scale: standard deviation of the start.
        device: `cpu`, `cuda`, `cuda:N`, or `auto`: CUDA where there is any.
    """

    image: str = "checkerboard"
    image_size: int = Field(256, ge=1, le=1 << 14)
    channels: int = Field(1, ge=1)
    kernel: int = Field(32, ge=1)
    beta: float = Field(1.0, gt=0)
    label: float = Field(1.0, ge=0, le=1)
    pooling: str = "mean"
    boundary: str = "valid"
    scheme: str = "euler"
    momentum: float | None = None
    seed: int = 7
    init_scale: float = Field(1.0, gt=0)
    device: str = "cpu"

    def problem(self) -> CnnProblem:
        """Build the problem on its device."""
        image = make_image(self.image, size=self.image_size, channels=self.channels, seed=self.seed)
        problem = CnnProblem.of(
            image, kernel=self.kernel, label=self.label, beta=self.beta, pooling=self.pooling, boundary=self.boundary
        )
        return problem.to(device=resolve_device(self.device))

    def start(self, problem: CnnProblem) -> torch.Tensor:
        """Return the start, `[C, n, m]`."""
        return initial_kernels(problem, seeds=(self.seed,), scale=self.init_scale)[0]

    def time_scheme(self) -> TimeScheme:
        """Return the scheme."""
        return descent_scheme(self.scheme, self.momentum)

    @property
    def words(self) -> str:
        """Return the problem in a few words, for sentences and titles."""
        picture = self.image if self.image in ("checkerboard", "noise") else "image file"
        return (
            f"one-layer CNN, {self.kernel} x {self.kernel} window on a {picture} of "
            f"{self.image_size} x {self.image_size}, label {self.label:g}, {self.pooling} pooling, {self.scheme}"
        )


def cnn_setting(**values: Any) -> CnnSetting:
    """Return the setting of these values, defaults for the rest.

    Raises:
        LastbitError: a value that cannot be, in one line.
    """
    return validated(CnnSetting, values, flag="--")
