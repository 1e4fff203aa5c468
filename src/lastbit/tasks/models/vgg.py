"""A network like VGG-11 (configuration A of Simonyan and Zisserman, 2015) for small images."""

from __future__ import annotations

from torch import nn

from lastbit.tasks.models.layers import GlobalMean, activation_layer, conv3x3, he_init

__all__ = ["vgg11"]

_STAGES = ((1,), (2,), (4, 4), (8, 8), (8, 8))
"""Channels of the convolutions between poolings, in units of the width."""


def vgg11(shape: tuple[int, int, int], classes: int, *, width: int, norm: str, activation: str) -> nn.Module:
    """Return the eight convolutions of VGG-11, then global mean and one linear layer in place of its three.

    A 2x2 max pooling follows each stage while the image is larger than one pixel, so 8, 28 and 32 pixels all fit;
    convolutions drawn as in He et al. (2015). Width 64 is the published form.

    Args:
        shape: channels, height and width of an input.
        classes: number of outputs.
        width: channels of the first convolution; the last have 8 times as many.
        norm: `batch`, `group` or `none`.
        activation: `relu`, `swish` or `tanh`.
    """
    channels, side = shape[0], min(shape[1:])
    layers: list[nn.Module] = []
    for stage in _STAGES:
        for factor in stage:
            layers += [conv3x3(channels, factor * width, norm), activation_layer(activation)]
            channels = factor * width
        if side > 1:
            layers.append(nn.MaxPool2d(2))
            side //= 2
    model = nn.Sequential(*layers, GlobalMean(), nn.Linear(channels, classes))
    he_init(model)
    return model
