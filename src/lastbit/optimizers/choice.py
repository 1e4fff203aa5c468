"""An optimizer that a built-in task can be trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["OptimizerChoice"]


@dataclass(frozen=True, kw_only=True)
class OptimizerChoice:
    """A built-in task's choice of optimizer.

    Attributes:
        name: what users write.
        options: those of `momentum` and `nesterov` that it understands; it always takes `lr` and `weight_decay`.
        defaults: settings that it prefers to the task's, which are meant for SGD.
    """

    name: str
    options: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
