"""Which of a run's random decisions a seed changes."""

from __future__ import annotations

from dataclasses import dataclass

from lastbit.core.errors import choose
from lastbit.core.seeds import stream_seed

__all__ = ["VARY", "Streams", "streams"]

VARY = ("all", "order", "init", "augment")
"""What may be varied over seeds: the initial weights, the order of the samples, the augmentation (and with
it every other draw made while training, such as dropout), or all three."""


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The seeds of one run's random decisions."""

    init: int
    """Initial weights."""
    order: int
    """Order of the samples, drawn again in each epoch."""
    augment: int
    """Augmentation of each sample in each epoch, dropout and anything else that draws while training."""


def streams(seed: int, vary: str = "all") -> Streams:
    """Return the streams of the run with seed `seed` when `vary` is what differs between seeds.

    Raises:
        LastbitError: `vary` is not one of `VARY`.

    Example:
        >>> a, b = streams(0, "order"), streams(1, "order")
        >>> (a.init == b.init, a.order == b.order)
        (True, False)
    """
    choose(vary, VARY, "--vary")
    return Streams(**{name: stream_seed(seed if vary in (name, "all") else 0, name) for name in VARY[1:]})
