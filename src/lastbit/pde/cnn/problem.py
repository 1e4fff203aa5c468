"""The one-layer CNN: images, labels, window, activation scale, pooling.

The network is `f(K) = s(pool_x r((K * I)(x)))` with `s` the logistic sigmoid, `r(z) = z s(beta z)` the swish and
`(K * I)(x) = sum_u K(u) I(x + u)` the convolution of deep learning (no reflection), summed over channels. Its loss is
the mean over images of the binary cross-entropy.

Legend: M members of an ensemble, B images, C channels, H W image, n m window, x positions of the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core.errors import LastbitError, choose
from lastbit.core.seeds import numpy_stream

__all__ = ["BOUNDARIES", "POOLINGS", "CnnProblem", "initial_kernels"]

POOLINGS = ("mean", "sum")
BOUNDARIES = ("valid", "periodic")


@dataclass(frozen=True, eq=False)
class CnnProblem:
    """One-layer CNN on given images. Build it with `CnnProblem.of`, which checks its arguments.

    Attributes:
        images_BCHW: the images.
        labels_B: one label in [0, 1] per image.
        window: rows and columns of the kernel.
        beta: scale inside the swish, positive.
        pooling: `"mean"` or `"sum"` over positions.
        boundary: `"valid"` takes the positions where the window lies inside the image, `"periodic"` all of them.
    """

    images_BCHW: Tensor
    labels_B: Tensor
    window: tuple[int, int]
    beta: float
    pooling: str
    boundary: str

    @classmethod
    def of(
        cls,
        images: Any,
        *,
        kernel: int | tuple[int, int],
        label: float | Sequence[float] = 1.0,
        beta: float = 1.0,
        pooling: str = "mean",
        boundary: str = "valid",
    ) -> CnnProblem:
        """Check the arguments and build the problem.

        Args:
            images: `[H, W]`, `[C, H, W]` or `[B, C, H, W]`, array or tensor of real numbers; integers become float64.
            kernel: window size, or its rows and columns.
            label: in [0, 1], one for all images or one per image.
            beta: scale inside the swish.
            pooling: `"mean"` or `"sum"`.
            boundary: `"valid"` or `"periodic"`.

        Raises:
            LastbitError: an image is empty, not real or not finite, the window does not fit, or a setting is unknown.

        Example:
            >>> problem = CnnProblem.of([[1.0, -1.0], [-1.0, 1.0]], kernel=1)
            >>> problem.positions, problem.kernel_shape
            ((2, 2), (1, 1, 1))
        """
        images_BCHW = _as_images(images)
        batch, _, height, width = images_BCHW.shape
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        if rows < 1 or columns < 1:
            raise LastbitError(f"a window of {rows} x {columns} is empty: use a kernel of 1 or more")
        if rows > height or columns > width:
            raise LastbitError(
                f"a window of {rows} x {columns} does not fit an image of {height} x {width}: "
                f"use a kernel of at most {min(height, width)}"
            )
        labels = torch.as_tensor(label, dtype=images_BCHW.dtype, device=images_BCHW.device).reshape(-1)
        if len(labels) not in (1, batch):
            raise LastbitError(f"{len(labels)} labels for {batch} images: give one label, or one per image")
        if not bool(((labels >= 0) & (labels <= 1)).all()):
            raise LastbitError(f"label = {label}: use a number from 0 to 1")
        if not (np.isfinite(beta) and beta > 0):
            raise LastbitError(f"beta = {beta}: use a positive number")
        choose(pooling, POOLINGS, "pooling")
        choose(boundary, BOUNDARIES, "boundary")
        return cls(images_BCHW, labels.expand(batch).contiguous(), (rows, columns), float(beta), pooling, boundary)

    @property
    def positions(self) -> tuple[int, int]:
        """Rows and columns of positions the window takes."""
        height, width = self.images_BCHW.shape[-2:]
        if self.boundary == "periodic":
            return height, width
        return height - self.window[0] + 1, width - self.window[1] + 1

    @property
    def pool(self) -> float:
        """Weight of one position in the pooling: 1 over their number, or 1."""
        rows, columns = self.positions
        return 1.0 / (rows * columns) if self.pooling == "mean" else 1.0

    @property
    def kernel_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a kernel."""
        return self.images_BCHW.shape[1], *self.window

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> CnnProblem:
        """Return the same problem in another format or on another device."""
        return replace(
            self,
            images_BCHW=self.images_BCHW.to(device=device, dtype=dtype),
            labels_B=self.labels_B.to(device=device, dtype=dtype),
        )


def initial_kernels(problem: CnnProblem, seeds: Sequence[int] = (0,), *, scale: float = 1.0) -> Tensor:
    """Return standard normal kernels times `scale`, one per seed: `[M, C, n, m]` in the problem's format.

    Raises:
        LastbitError: no seed, or a scale that is not finite.
    """
    if not len(seeds):
        raise LastbitError("no seed arrived: give at least one")
    if not np.isfinite(scale):
        raise LastbitError(f"scale = {scale}: use a finite number")
    draws = np.stack([numpy_stream(seed, "pde", "kernel").standard_normal(problem.kernel_shape) for seed in seeds])
    return torch.as_tensor(scale * draws).to(problem.images_BCHW)


def _as_images(images: Any) -> Tensor:
    """Return `[B, C, H, W]` floats."""
    try:
        tensor = torch.as_tensor(images)
    except (TypeError, ValueError, RuntimeError):
        raise LastbitError(f"an image must be an array of numbers, got {type(images).__name__}") from None
    if tensor.is_complex():
        raise LastbitError("an image must be real, got complex numbers")
    if not tensor.is_floating_point():
        tensor = tensor.double()
    if tensor.dtype not in (torch.float64, torch.float32):
        tensor = tensor.float()
    if not 2 <= tensor.ndim <= 4:
        raise LastbitError(
            f"an image of {tensor.ndim} dimensions: use [height, width], [channels, height, width] or "
            "[images, channels, height, width]"
        )
    tensor = tensor.reshape((1,) * (4 - tensor.ndim) + tuple(tensor.shape))
    if tensor.numel() == 0:
        raise LastbitError(f"an image of shape {tuple(tensor.shape)} is empty: every size must be 1 or more")
    if not bool(torch.isfinite(tensor).all()):
        raise LastbitError("the image holds NaN or infinite values: replace them first")
    return tensor.contiguous()
