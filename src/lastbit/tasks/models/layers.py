"""Normalisation, activation and 3x3 convolution, as the built-in networks use them."""

from __future__ import annotations

from pkgutil import resolve_name

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lastbit.core.errors import choose
from lastbit.tasks.models import ACTIVATIONS, NORMS

__all__ = ["GlobalMean", "Swish", "activation_layer", "conv3x3", "he_init", "kept_init", "norm_layer"]


class Swish(nn.Module):
    """`swish(x) = x sigmoid(beta x)` (Ramachandran et al., 2017); ReLU in the limit of large `beta`, `x / 2` at 0."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """Apply it element-wise."""
        return F.silu(x) if self.beta == 1.0 else x * torch.sigmoid(self.beta * x)

    def extra_repr(self) -> str:
        """Show beta."""
        return f"beta={self.beta}"


def activation_layer(name: str) -> nn.Module:
    """Return a new activation layer."""
    layer: nn.Module = resolve_name(ACTIVATIONS[choose(name, ACTIVATIONS, "activation")])()
    return layer


def norm_layer(name: str, channels: int, *, spatial: bool = True) -> nn.Module:
    """Return a new normalisation layer for `channels` channels (features where not `spatial`).

    Group normalisation takes up to 8 groups, each of at least 4 channels where there are as many: a group of a single
    value would be normalised to zero.
    """
    choose(name, NORMS, "norm")
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(channels) if spatial else nn.BatchNorm1d(channels)
    groups = max(g for g in range(1, 9) if channels % g == 0 and (g == 1 or channels // g >= 4))
    return nn.GroupNorm(groups, channels)


def conv3x3(channels_in: int, channels_out: int, norm: str, *, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution with padding 1, then its normalisation, which makes a bias of its own superfluous."""
    conv = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=norm == "none")
    return nn.Sequential(conv, norm_layer(norm, channels_out))


def he_init(model: nn.Module) -> nn.Module:
    """Draw every convolution from N(0, 2 / fan_out), as He et al. (2015) for deep ReLU networks; biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def kept_init(model: nn.Module, activation: str) -> nn.Module:
    """Draw every weight from N(0, gain² / fan_in), so that signals keep their size from layer to layer; biases 0.

    PyTorch's default has variance 1 / (3 fan_in): through tanh layers signals and gradients shrink with depth.

    Args:
        model: linear and convolutional layers, drawn anew.
        activation: between them, `tanh` or `relu`; the gain is `torch.nn.init.calculate_gain` of it.
    """
    gain = nn.init.calculate_gain("tanh" if choose(activation, ("tanh", "relu"), "activation") == "tanh" else "relu")
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=gain / fan_in**0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


class GlobalMean(nn.Module):
    """Mean over the two spatial axes, `(N, C, H, W) -> (N, C)`.

    A plain mean, because the backward pass of adaptive pooling is not deterministic on CUDA.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return x.mean((2, 3))
