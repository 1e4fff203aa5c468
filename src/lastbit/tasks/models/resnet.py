"""Residual networks in the CIFAR form of He et al. (2016), depth 6n + 2."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lastbit.core.errors import LastbitError
from lastbit.tasks.models.layers import GlobalMean, activation_layer, conv3x3, he_init

__all__ = ["ResidualBlock", "resnet"]


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
        activation: `relu`, `swish` or `tanh`.

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
    model = nn.Sequential(*layers, GlobalMean(), nn.Linear(channels, classes))
    he_init(model)
    return model
