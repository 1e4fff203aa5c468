"""How much of a long run is written down: every operation at first, then checksums, at ever fewer steps.

Which steps still have checksums follows from their numbers alone, so that two runs have them at the same ones.
"""

from __future__ import annotations

from time import monotonic  # bound here: the one that a program finds there may be replaced

__all__ = ["Pace", "is_sampled"]

MOST = 64 << 20
"""Bytes of a process's record from which on operations are left out."""

FREE = 10.0
"""Seconds that recording operations may take beside as long as the program itself takes.

A run that is recorded so takes at most four times as long as it would: it starts in some seconds of its own, and an
operation that is only passed on takes at most twice as long.
"""

EACH = 64
"""Steps with checksums in each doubling of their number, where operations are left out."""


def is_sampled(count: int) -> bool:
    """Tell whether the step before which there were `count` is one of those that every long run keeps something of."""
    return count % (1 << max((count // EACH).bit_length() - 1, 0)) == 0


class Pace:
    """What is recorded of a process, from its beginning on."""

    def __init__(self) -> None:
        self.whole = True
        """Whether every operation is recorded; once it is not, it stays so."""
        self._began = monotonic()

    def takes(self, count: int) -> bool:
        """Tell whether anything is recorded of the step before which there were `count`."""
        return self.whole or is_sampled(count)

    def went(self, size: int, spent: float) -> None:
        """Slow down where so many bytes were written, or so many seconds were spent on recording."""
        own = monotonic() - self._began - spent
        if size >= MOST or spent > FREE + own:
            self.whole = False
