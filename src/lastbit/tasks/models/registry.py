"""The built-in networks by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from lastbit.core.errors import choose
from lastbit.tasks.models.cnn import cnn
from lastbit.tasks.models.mlp import mlp
from lastbit.tasks.models.plain import plain_cnn, plain_mlp
from lastbit.tasks.models.resnet import resnet
from lastbit.tasks.models.vgg import vgg11

__all__ = ["MODELS", "PLAIN", "ModelSpec", "build_model"]


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A built-in network.

    Attributes:
        build: called with the input shape, the number of classes, and `width`, `norm`, `activation` by name.
        width: the default width.
        summary: what it is, for help texts.
    """

    build: Callable[..., nn.Module]
    width: int
    summary: str


MODELS: dict[str, ModelSpec] = {
    "mlp": ModelSpec(build=mlp, width=64, summary="two hidden layers of `width` units"),
    "cnn": ModelSpec(build=cnn, width=16, summary="three 3x3 convolutions, global mean, linear head"),
    "resnet8": ModelSpec(
        build=partial(resnet, depth=8), width=16, summary="CIFAR ResNet, 8 layers, option-A shortcuts"
    ),
    "resnet20": ModelSpec(build=partial(resnet, depth=20), width=16, summary="CIFAR ResNet, 20 layers"),
    "resnet56": ModelSpec(build=partial(resnet, depth=56), width=16, summary="CIFAR ResNet, 56 layers"),
    "vgg11": ModelSpec(build=vgg11, width=64, summary="VGG-11's convolutions, global mean, linear head"),
}
"""The built-in networks by name."""


PLAIN: dict[str, Callable[..., nn.Module]] = {"mlp": plain_mlp, "cnn": plain_cnn}
"""The networks that are built of layers all alike, without normalisation, where a depth is given."""


def build_model(
    name: str, shape: tuple[int, int, int], classes: int, *, width: int, norm: str, activation: str
) -> nn.Module:
    """Return a new network, its weights drawn from the global random generator.

    Raises:
        LastbitError: an unknown name of a network, norm or activation.

    Example:
        >>> net = build_model("cnn", (1, 8, 8), 10, width=8, norm="batch", activation="relu")
        >>> sum(p.numel() for p in net.parameters())
        6274
    """
    spec = MODELS[choose(name, MODELS, "model")]
    return spec.build(shape, classes, width=width, norm=norm, activation=activation)
