"""Convolutional networks of L layers on given images, and the loss whose gradient flow is studied.

    x_0 = image,   z_l = Σ_c K_l[·, c] ∗ x_{l−1}[c],   x_l = r(z_l),   p = pool_{c, x} x_L,   f = s(p),

with periodic convolutions `(K ∗ x)(i) = Σ_u K(u) x(i + u)` whose kernels live on an n × n window, `r` the swish
`z·s(βz)` or the identity, and `s` the logistic sigmoid. The pool averages (or sums) over positions, and averages over
the last layer's channels. The loss is the mean over images of the binary cross-entropy. One layer of one channel is the
network of `lastbit.pde.cnn`.

Legend: B images, C channels (o out, i in), H W image, n window, P all weights in one vector, layer after layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from torch import Tensor

from lastbit.core.device import resolve_device
from lastbit.core.errors import LastbitError, choose
from lastbit.core.seeds import torch_stream
from lastbit.pde.cnn.images import make_image
from lastbit.pde.cnn.problem import CnnProblem

__all__ = ["ACTIVATIONS", "DeepProblem", "deep_problem", "initial_kernels", "kept_gain"]

ACTIVATIONS = ("swish", "linear")


@dataclass(frozen=True, eq=False)
class DeepProblem:
    """An L-layer convolutional network on given images. Build it with `DeepProblem.of`, which checks its arguments.

    Attributes:
        images_BCHW: the images.
        labels_B: one label in [0, 1] per image.
        widths: channels after each layer, so `len(widths)` layers.
        kernel: rows and columns of every window.
        activation: `"swish"` or `"linear"`.
        beta: scale inside the swish.
        pooling: `"mean"` or `"sum"` over positions.
    """

    images_BCHW: Tensor
    labels_B: Tensor
    widths: tuple[int, ...]
    kernel: int
    activation: str
    beta: float
    pooling: str

    @classmethod
    def of(
        cls,
        images: Any,
        *,
        widths: Sequence[int],
        kernel: int,
        activation: str = "swish",
        label: float | Sequence[float] = 1.0,
        beta: float = 1.0,
        pooling: str = "mean",
    ) -> DeepProblem:
        """Check the arguments and build the problem.

        Args:
            images: `[H, W]`, `[C, H, W]` or `[B, C, H, W]`, array or tensor of real numbers; integers become float64.
            widths: channels after each layer, one number per layer.
            kernel: rows and columns of every window.
            activation: `"swish"` or `"linear"`, after every layer.
            label: in [0, 1], one for all images or one per image.
            beta: scale inside the swish, positive.
            pooling: `"mean"` or `"sum"` over positions.

        Raises:
            LastbitError: no layer, a layer without channels, or anything `CnnProblem.of` refuses.

        Example:
            >>> DeepProblem.of([[1.0, -1.0], [-1.0, 1.0]], widths=(2, 1), kernel=2).kernel_shapes
            ((2, 1, 2, 2), (1, 2, 2, 2))
        """
        choose(activation, ACTIVATIONS, "activation")
        if not widths or any(width < 1 for width in widths):
            raise LastbitError(f"widths = {list(widths)}: give the channels of one layer or more, each at least 1")
        base = CnnProblem.of(images, kernel=kernel, label=label, beta=beta, pooling=pooling, boundary="periodic")
        return cls(base.images_BCHW, base.labels_B, tuple(widths), kernel, activation, base.beta, pooling)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.widths)

    @property
    def kernel_shapes(self) -> tuple[tuple[int, int, int, int], ...]:
        """`(out, in, n, n)` of each layer's kernels."""
        into = (self.images_BCHW.shape[1], *self.widths[:-1])
        return tuple((out, channels, self.kernel, self.kernel) for out, channels in zip(self.widths, into, strict=True))

    @property
    def parameters(self) -> int:
        """Number of weights, P."""
        return sum(math.prod(shape) for shape in self.kernel_shapes)

    def split(self, weights_P: Tensor) -> list[Tensor]:
        """Return each layer's kernels, `[o, i, n, n]`, as views of one vector of all weights.

        Raises:
            LastbitError: the vector has another length.
        """
        if weights_P.shape != (self.parameters,):
            raise LastbitError(f"weights of shape {tuple(weights_P.shape)}: give one vector of {self.parameters}")
        sizes = [math.prod(shape) for shape in self.kernel_shapes]
        return [part.view(shape) for part, shape in zip(torch.split(weights_P, sizes), self.kernel_shapes, strict=True)]

    def pooled(self, kernels: Sequence[Tensor]) -> Tensor:
        """Return the pooled value `p` of every image, `[B]`, before the sigmoid."""
        x = self.images_BCHW
        pad = self.kernel - 1
        for kernel_oinn in kernels:
            z = torch.nn.functional.conv2d(torch.nn.functional.pad(x, (0, pad, 0, pad), mode="circular"), kernel_oinn)
            x = z * torch.sigmoid(self.beta * z) if self.activation == "swish" else z
        means = x.mean(dim=(1, 2, 3))
        return means if self.pooling == "mean" else means * float(math.prod(x.shape[-2:]))

    def loss(self, kernels: Sequence[Tensor]) -> Tensor:
        """Return the mean binary cross-entropy, `softplus(p) − y·p`, without weight decay; a scalar."""
        p_B = self.pooled(kernels)
        return (torch.nn.functional.softplus(p_B) - self.labels_B * p_B).mean()


def deep_problem(
    *,
    depth: int = 2,
    width: int = 4,
    kernel: int = 3,
    image: str = "noise",
    image_size: int = 16,
    channels: int = 1,
    images: int = 4,
    label: float | Sequence[float] | None = None,
    image_seed: int = 0,
    device: str = "cpu",
    **network: Any,
) -> DeepProblem:
    """Return the network of `depth` layers with `width` channels after each but the last, which has one.

    Args:
        depth: number of layers.
        width: channels between layers.
        kernel: rows and columns of every window.
        image: `"noise"`, `"checkerboard"`, or an image file.
        image_size: rows and columns of the images.
        channels: of the images.
        images: how many; noise differs from image to image, anything else is a single one.
        label: in [0, 1], one for all or one per image; 0 and 1 in turn if left out (1 for a single image).
        image_seed: of the noise.
        device: `"cpu"`, `"cuda"`, `"cuda:N"`, or `"auto"`: CUDA where there is any. Images and weights are drawn on the
            CPU, the same for every device.
        **network: `activation`, `beta` and `pooling`, as `DeepProblem.of` takes them.

    Raises:
        LastbitError: a size below 1, a window that does not fit, or a setting or device that does not exist.
    """
    for name, value in (("depth", depth), ("width", width), ("images", images)):
        if value < 1:
            raise LastbitError(f"{name} = {value}: give 1 or more")
    count = images if image == "noise" else 1
    stack = [make_image(image, size=image_size, channels=channels, seed=image_seed + i) for i in range(count)]
    labels = label if label is not None else ([float(i % 2) for i in range(count)] if count > 1 else 1.0)
    widths = (width,) * (depth - 1) + (1,)
    batch = torch.stack(stack).to(resolve_device(device))
    return DeepProblem.of(batch, widths=widths, kernel=kernel, label=labels, **network)


def initial_kernels(problem: DeepProblem, *, seed: int = 0, gain: float = 2.0) -> Tensor:
    """Return random weights, `[P]`: independent normals of variance `gain / (i·n²)`, He's initialisation for gain 2.

    Each layer draws from a stream of its own, in float64 on the CPU, so a layer keeps its values when layers are added.

    Raises:
        LastbitError: a gain that is not positive and finite.
    """
    if not (math.isfinite(gain) and gain > 0):
        raise LastbitError(f"gain = {gain}: use a positive number")
    parts = []
    for layer, shape in enumerate(problem.kernel_shapes):
        normal = torch.randn(shape, dtype=torch.float64, generator=torch_stream(seed, "pde", "deep kernel", layer))
        parts.append((normal * math.sqrt(gain / math.prod(shape[1:]))).ravel())
    return torch.cat(parts).to(problem.images_BCHW)


@cache
def kept_gain(activation: str, beta: float = 1.0) -> float:
    """Return the gain of `initial_kernels` at which signals keep their size: `E[r(√gain z)²] = 1`, z standard normal.

    A layer then takes signals of mean square 1 to such signals, on average over its weights; `swish` needs 2.55, the
    identity 1. With a smaller gain signals shrink with depth, with a larger one they grow.

    Raises:
        LastbitError: an unknown activation, or a beta that is not positive and finite.

    Example:
        >>> kept_gain("linear")
        1.0
    """
    if choose(activation, ACTIVATIONS, "activation") == "linear":
        return 1.0
    if not (math.isfinite(beta) and beta > 0):
        raise LastbitError(f"beta = {beta}: use a positive number")
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)

    def excess(gain: float) -> float:
        z = math.sqrt(gain) * nodes
        return float(weights @ (z * expit(beta * z)) ** 2 / math.sqrt(2 * math.pi) - 1)

    # Swish lies between half the identity and the identity, whose mean squares are gain / 4 and gain.
    return float(brentq(excess, 1.0, 4.0))
