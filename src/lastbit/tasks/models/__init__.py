"""The built-in networks by name, each a function of the input shape, the number of classes and a few named choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from lastbit.core.errors import choose

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ACTIVATIONS", "MODELS", "NORMS", "PLAIN", "ModelSpec", "build_model"]

NORMS = ("batch", "group", "none")
"""The normalisations: batch (Ioffe and Szegedy, 2015), group (Wu and He, 2018), none."""

ACTIVATIONS = {
    "relu": "torch.nn:ReLU",
    "leaky-relu": "torch.nn:LeakyReLU",
    "gelu": "torch.nn:GELU",
    "swish": f"{__name__}.layers:Swish",
    "tanh": "torch.nn:Tanh",
}
"""The activations by name, and where their modules stand."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A built-in network.

    Attributes:
        build: `module:name` of what is called with the input shape, the number of classes, and `width`, `norm`,
            `activation` by name.
        width: the default width.
        options: further arguments of `build`.
    """

    build: str
    width: int = 16
    options: Mapping[str, int] = field(default_factory=dict)


_NETWORKS = f"{__name__}.networks"

MODELS: dict[str, ModelSpec] = {
    "mlp": ModelSpec(build=f"{_NETWORKS}:mlp", width=64),
    "cnn": ModelSpec(build=f"{_NETWORKS}:cnn"),
    "resnet8": ModelSpec(build=f"{_NETWORKS}:resnet", options={"depth": 8}),
    "resnet20": ModelSpec(build=f"{_NETWORKS}:resnet", options={"depth": 20}),
    "resnet56": ModelSpec(build=f"{_NETWORKS}:resnet", options={"depth": 56}),
    "vgg11": ModelSpec(build=f"{_NETWORKS}:vgg11", width=64),
}
"""The built-in networks by name."""


PLAIN = {"mlp": f"{_NETWORKS}:plain_mlp", "cnn": f"{_NETWORKS}:plain_cnn"}
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
    network: nn.Module = resolve_name(spec.build)(
        shape, classes, width=width, norm=norm, activation=activation, **spec.options
    )
    return network
