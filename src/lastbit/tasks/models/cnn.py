"""Small convolutional networks: of three layers, and of as many as are asked for, all alike."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from lastbit.tasks.models.layers import GlobalMean, activation_layer, conv3x3

__all__ = ["cnn", "plain_cnn"]


def cnn(shape: tuple[int, int, int], classes: int, *, width: int, norm: str, activation: str) -> nn.Module:
    """Return three 3x3 convolutions of `width`, `2 width` and `4 width` channels, global mean, linear head.

    The first has stride 2 where an input's side is 16 pixels or more, the second always, the third never. PyTorch's
    default initialisation.

    Args:
        shape: channels, height and width of an input.
        classes: number of outputs.
        width: channels of the first layer.
        norm: `batch`, `group` or `none`, before each activation.
        activation: `relu`, `swish` or `tanh`.
    """
    channels, height, side = shape
    first = 2 if min(height, side) >= 16 else 1
    return nn.Sequential(
        conv3x3(channels, width, norm, stride=first),
        activation_layer(activation),
        conv3x3(width, 2 * width, norm, stride=2),
        activation_layer(activation),
        conv3x3(2 * width, 4 * width, norm),
        activation_layer(activation),
        GlobalMean(),
        nn.Linear(4 * width, classes),
    )


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
