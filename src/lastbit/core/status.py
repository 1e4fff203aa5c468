"""What a run is in its study, and how it ended. A failure of one run is a result, and never ends its siblings."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Role", "RunStatus"]


class RunStatus(StrEnum):
    """How one training run ended."""

    OK = "ok"
    """Every step was finite and the run reached its last step."""
    DIVERGING = "diverging"
    """Every number is finite, but the loss ended far above its first value and is still growing."""
    DIVERGED = "diverged"
    """A loss or a weight became NaN or infinite; the run was stopped there."""
    CRASHED = "crashed"
    """The run raised, or its worker process died."""


class Role(StrEnum):
    """What one run is in its cell."""

    BASE = "base"
    """The unperturbed run."""
    REPEAT = "repeat"
    """Its exact repeat, the control."""
    TWIN = "twin"
    """The same run, perturbed in the last bit."""
