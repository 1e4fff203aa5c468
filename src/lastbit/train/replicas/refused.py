"""Why a task cannot take its steps in some way."""

from __future__ import annotations

__all__ = ["Refused", "reason_of"]


class Refused(Exception):
    """A way to take steps together is not for this task; the message says why, as the end of a sentence."""


_REASONS = {
    "called random operation while in randomness error mode": "its network draws at random (dropout)",
    "data-dependent control flow": "its network branches on the values that it computes",
    ".item()": "its network reads a value that it computes (.item())",
}


def reason_of(error: Exception) -> str:
    """Return why PyTorch cannot batch it, in one line."""
    text = " ".join(str(error).split())
    for sign, said in _REASONS.items():
        if sign in text:
            return said
    return f"torch cannot batch it ({type(error).__name__}: {text[:200]})"
