"""Multilayer perceptron with two hidden layers."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

from lastbit.tasks.models.layers import activation_layer, norm_layer

__all__ = ["mlp"]


def mlp(shape: tuple[int, int, int], classes: int, *, width: int, norm: str, activation: str) -> nn.Module:
    """Return `pixels - width - width - classes`, fully connected, PyTorch's default initialisation.

    Args:
        shape: channels, height and width of an input.
        classes: number of outputs.
        width: units of each hidden layer.
        norm: `batch`, `group` or `none`, before each activation.
        activation: `relu`, `swish` or `tanh`.
    """
    sizes = [math.prod(shape), width, width]
    layers: list[nn.Module] = [nn.Flatten()]
    for size_in, size_out in pairwise(sizes):
        layers += [
            nn.Linear(size_in, size_out, bias=norm == "none"),
            norm_layer(norm, size_out, spatial=False),
            activation_layer(activation),
        ]
    return nn.Sequential(*layers, nn.Linear(width, classes))
