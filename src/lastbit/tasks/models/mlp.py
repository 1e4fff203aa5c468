"""Multilayer perceptrons: of two hidden layers, and of as many as are asked for, all alike."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise

from torch import nn

from lastbit.tasks.models.layers import activation_layer, norm_layer

__all__ = ["mlp", "plain_mlp"]


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


def plain_mlp(shape: tuple[int, int, int], classes: int, *, depth: int, width: int, activation: str) -> nn.Module:
    """Return `pixels - width - … - width - classes` with `depth` hidden layers, PyTorch's default initialisation.

    Args:
        shape: channels, height and width of an input.
        classes: number of outputs.
        depth: hidden layers.
        width: units of each.
        activation: `relu`, `swish` or `tanh`.

    Example:
        >>> network = plain_mlp((1, 8, 8), 10, depth=2, width=64, activation="tanh")
        >>> {name: layer.out_features for name, layer in network.named_children() if hasattr(layer, "out_features")}
        {'hidden1': 64, 'hidden2': 64, 'output': 10}
    """
    sizes = [math.prod(shape), *[width] * depth]
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    for number, (size_in, size_out) in enumerate(pairwise(sizes), start=1):
        layers[f"hidden{number}"] = nn.Linear(size_in, size_out)
        layers[f"activation{number}"] = activation_layer(activation)
    return nn.Sequential(OrderedDict(layers | {"output": nn.Linear(width, classes)}))
