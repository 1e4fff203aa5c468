"""Which calls of an optimizer's hooks are no step of its own: those of a step within a step, or of a skipped one."""

from __future__ import annotations

import sys
from types import FrameType

from torch.optim import Optimizer

__all__ = ["is_inner", "is_skipped"]

_HOOKED = Optimizer.profile_hook_step(lambda: None).__code__
"""Of what PyTorch puts around every step to call its hooks."""


def is_inner(optimizer: Optimizer) -> bool:
    """Tell, within a hook, whether the step of an optimizer is part of a step of its own, which a subclass called.

    The stack says it. A count of the steps that began would be wrong for good after one that raised, for no hook is
    called at its end.
    """
    frame: FrameType | None = sys._getframe(1)
    own = 0
    while frame is not None and own < 2:
        if frame.f_code is _HOOKED:
            own += frame.f_locals.get("self") is optimizer
        frame = frame.f_back
    return own > 1


def is_skipped(optimizer: Optimizer) -> bool:
    """Tell, within a hook, whether a gradient scaler told a fused step to change nothing: it runs its hooks then."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)
