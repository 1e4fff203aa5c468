"""The built-in networks, from two fully connected layers to the published deep ones."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from lastbit.core.errors import LastbitError
from lastbit.tasks.models.layers import GlobalMean, activation_layer, conv3x3, he_init, norm_layer

__all__ = ["ResidualBlock", "cnn", "mlp", "plain_cnn", "plain_mlp", "resnet", "vgg11"]


def mlp(shape: tuple[int, int, int], classes: int, *, width: int, norm: str, activation: str) -> nn.Module:
    """Return `pixels - width - width - classes`, fully connected, PyTorch's default initialisation.

    Args:
        shape: channels, height and width of an input.
        classes: number of outputs.
        width: units of each hidden layer.
        norm: `batch`, `group` or `none`, before each activation.
        activation: one of `ACTIVATIONS`.
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
        activation: one of `ACTIVATIONS`.

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


def cnn(shape: tuple[int, int, int], classes: int, *, width: int, norm: str, activation: str) -> nn.Module:
    """Return three 3x3 convolutions of `width`, `2 width` and `4 width` channels, global mean, linear head.

    The first has stride 2 where an input's side is 16 pixels or more, the second always, the third never. PyTorch's
    default initialisation.

    Args:
        shape: channels, height and width of an input.
        classes: number of outputs.
        width: channels of the first layer.
        norm: `batch`, `group` or `none`, before each activation.
        activation: one of `ACTIVATIONS`.
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
        activation: one of `ACTIVATIONS`.
    """
    channels = [shape[0], *[width] * depth]
    layers: dict[str, nn.Module] = {}
    for number, (before, after) in enumerate(pairwise(channels), start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, after, kernel, padding=kernel // 2)
        layers[f"activation{number}"] = activation_layer(activation)
    return nn.Sequential(OrderedDict(layers | {"mean": GlobalMean(), "output": nn.Linear(width, classes)}))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters.

    Where the shape changes, the shortcut takes every other pixel and appends channels of zeros (option A of
    He et al., 2016, section 4.2).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, norm: str, activation: str) -> None:
        super().__init__()
        self.first = conv3x3(channels_in, channels_out, norm, stride=stride)
        self.second = conv3x3(channels_out, channels_out, norm)
        self.inner = activation_layer(activation)
        self.outer = activation_layer(activation)
        self.stride = stride
        self.extra = channels_out - channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to `(N, C, H, W)`."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.extra:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
        output: Tensor = self.outer(self.second(self.inner(self.first(x))) + shortcut)
        return output


def resnet(
    shape: tuple[int, int, int], classes: int, *, depth: int, width: int, norm: str, activation: str
) -> nn.Module:
    """Return a ResNet of `depth` = 6n + 2 layers: three stages of n blocks with `width`, `2 width`, `4 width` channels.

    Global mean, linear head; convolutions drawn as in He et al. (2015). Width 16 is the published form
    (0.27 million parameters at depth 20).

    Args:
        shape: channels, height and width of an input.
        classes: number of outputs.
        depth: 8, 14, 20, ..., 56, ...
        width: channels of the first stage.
        norm: `batch`, `group` or `none`.
        activation: one of `ACTIVATIONS`.

    Raises:
        LastbitError: `depth` is not 6n + 2.
    """
    if depth < 8 or depth % 6 != 2:
        raise LastbitError(f"a CIFAR ResNet has 6n + 2 layers, got depth {depth}: write 8, 14, 20, 32, 44 or 56")
    layers: list[nn.Module] = [conv3x3(shape[0], width, norm), activation_layer(activation)]
    channels = width
    for stage in range(3):
        for block in range(depth // 6):
            stride = 2 if stage and not block else 1
            layers.append(ResidualBlock(channels, width << stage, stride, norm, activation))
            channels = width << stage
    return he_init(nn.Sequential(*layers, GlobalMean(), nn.Linear(channels, classes)))


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
        activation: one of `ACTIVATIONS`.
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
    return he_init(nn.Sequential(*layers, GlobalMean(), nn.Linear(channels, classes)))
