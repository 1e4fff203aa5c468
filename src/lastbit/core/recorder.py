"""What a training run reports to, without knowing where it goes.

`train` calls these; `store` implements them on disk; tests implement them with lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from torch import Tensor

__all__ = ["MOMENTS", "Checkpoint", "Moment", "Recorder"]

Moment = Literal["first", "final"]
"""When weights are looked at: after the first step, and of the network that is the result."""

MOMENTS: tuple[Moment, ...] = get_args(Moment)

Checkpoint = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors by name, and JSON-able facts."""


class Recorder:
    """Receives what one run leaves beside its metrics; this one keeps nothing."""

    def arrays(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take the arrays of the finished run."""

    def save_checkpoint(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Keep what is needed to continue from here, replacing what was kept before."""

    def load_checkpoint(self) -> Checkpoint | None:
        """Return what was kept last, or None."""
        return None
