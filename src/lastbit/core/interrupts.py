"""An interrupt that code of others swallows is not lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Interrupts", "noticed"]


@dataclass
class Interrupts:
    """Whether the user has asked to stop."""

    seen: bool = False

    def check(self) -> None:
        """Stop where it was asked for.

        Raises:
            KeyboardInterrupt: it was.
        """
        if self.seen:
            raise KeyboardInterrupt


@contextmanager
def noticed() -> Iterator[Interrupts]:
    """Note every SIGINT, which is handled as before: what is raised then may be lost, as in an import half done.

    Outside the main thread, and where SIGINT is ignored, nothing is noted.

    Raises:
        KeyboardInterrupt: an error left the block after the user had asked to stop, and may come of that.

    Example:
        >>> with noticed() as interrupts:
        ...     try:
        ...         signal.raise_signal(signal.SIGINT)
        ...     except KeyboardInterrupt:
        ...         pass  # as an import that catches everything does
        >>> interrupts.seen
        True
    """
    interrupts, before = Interrupts(), signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.seen = True
        assert callable(before)
        before(number, frame)

    try:
        if callable(before):
            signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread
        before = None
    try:
        yield interrupts
    except Exception:
        interrupts.check()
        raise
    finally:
        if callable(before):
            signal.signal(signal.SIGINT, before)
