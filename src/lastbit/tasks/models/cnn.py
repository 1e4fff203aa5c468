"""Small convolutional network of three layers."""

from __future__ import annotations

from torch import nn

from lastbit.tasks.models.layers import GlobalMean, activation_layer, conv3x3

__all__ = ["cnn"]


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
