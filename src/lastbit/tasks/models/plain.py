"""Networks whose depth, width and kernel can be varied one at a time, for sweeps over complexity."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise

from torch import nn

from lastbit.tasks.models.layers import GlobalMean, activation_layer

__all__ = ["plain_cnn", "plain_mlp"]


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


def plain_cnn(
    shape: tuple[int, int, int], classes: int, *, depth: int, width: int, kernel: int, activation: str
) -> nn.Module:
    """Return `depth` convolutions of `width` channels that keep the image's size, a global mean and a linear head.

    No normalisation, no stride, no dropout: depth, width and kernel are all there is to vary.

    Args:
        shape: channels, height and width of an input.
        classes: number of outputs.
        depth: convolutions.
        width: channels of each.
        kernel: side of each convolution's kernel, odd.
        activation: `relu`, `swish` or `tanh`.
    """
    channels = [shape[0], *[width] * depth]
    layers: dict[str, nn.Module] = {}
    for number, (before, after) in enumerate(pairwise(channels), start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, after, kernel, padding=kernel // 2)
        layers[f"activation{number}"] = activation_layer(activation)
    return nn.Sequential(OrderedDict(layers | {"mean": GlobalMean(), "output": nn.Linear(width, classes)}))
