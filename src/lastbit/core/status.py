"""How a run ended. A failure of one run is a result, never an exception that ends its siblings."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["RunStatus"]


class RunStatus(StrEnum):
    """How one training run ended."""

    OK = "ok"
    """Every step was finite and the run reached its last step."""
    DIVERGED = "diverged"
    """A loss or a weight became NaN or infinite; the run was stopped there."""
    CRASHED = "crashed"
    """The run raised, or its worker process died."""
