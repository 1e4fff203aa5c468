"""The built-in networks by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lastbit.core.errors import choose
from lastbit.core.references import resolved

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ACTIVATIONS", "MODELS", "NORMS", "PLAIN", "ModelSpec", "build_model"]

NORMS = ("batch", "group", "none")
"""The normalisations: batch (Ioffe and Szegedy, 2015), group (Wu and He, 2018), none."""

ACTIVATIONS = {"relu": "torch.nn:ReLU", "swish": "lastbit.tasks.models.layers:Swish", "tanh": "torch.nn:Tanh"}
"""The activations by name, and where their modules stand."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A built-in network.

    Attributes:
        build: `module:name` of what is called with the input shape, the number of classes, and `width`, `norm`,
            `activation` by name.
        width: the default width.
        summary: what it is, for help texts.
        options: further arguments of `build`.
    """

    build: str
    width: int
    summary: str
    options: Mapping[str, int] = field(default_factory=dict)


_HERE = "lastbit.tasks.models"
_RESNET = f"{_HERE}.resnet:resnet"

MODELS: dict[str, ModelSpec] = {
    "mlp": ModelSpec(build=f"{_HERE}.mlp:mlp", width=64, summary="two hidden layers of `width` units"),
    "cnn": ModelSpec(build=f"{_HERE}.cnn:cnn", width=16, summary="three 3x3 convolutions, global mean, linear head"),
    "resnet8": ModelSpec(
        build=_RESNET, options={"depth": 8}, width=16, summary="CIFAR ResNet, 8 layers, option-A shortcuts"
    ),
    "resnet20": ModelSpec(build=_RESNET, options={"depth": 20}, width=16, summary="CIFAR ResNet, 20 layers"),
    "resnet56": ModelSpec(build=_RESNET, options={"depth": 56}, width=16, summary="CIFAR ResNet, 56 layers"),
    "vgg11": ModelSpec(build=f"{_HERE}.vgg:vgg11", width=64, summary="VGG-11's convolutions, global mean, linear head"),
}
"""The built-in networks by name."""


PLAIN = {"mlp": f"{_HERE}.plain:plain_mlp", "cnn": f"{_HERE}.plain:plain_cnn"}
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
    network: nn.Module = resolved(spec.build)(
        shape, classes, width=width, norm=norm, activation=activation, **spec.options
    )
    return network
