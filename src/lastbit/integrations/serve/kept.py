"""Answers that are kept until what they were made from changes, made by one thread at a time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")

_REST = 4.0
"""Times as long as a making took is what was made shown before it is made again: a study that is trained here needs
the processor more than the page that follows it."""


@dataclass
class _Made(Generic[T]):
    value: T
    stamp: Hashable
    at: float
    took: float


class Kept(Generic[T]):
    """Values by name, each with the stamp of what it was made from.

    Args:
        most: values that are kept; those asked for last.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, _Made[T]] = OrderedDict()
        self._table, self._making = Lock(), Lock()

    def get(self, name: Hashable, stamp: Callable[[], Hashable], make: Callable[[], T]) -> T:
        """Return the value of a name: the kept one while its stamp is the present one, else one made now.

        While a thread makes one, the others get the former value, and wait where there is none.

        Args:
            name: of the value.
            stamp: looks at what the value is made from.
            make: makes it.
        """
        now = stamp()
        known = self._known(name)
        if known is not None and (known.stamp == now or time.monotonic() - known.at < _REST * known.took):
            return known.value
        if not self._making.acquire(blocking=known is None):
            assert known is not None
            return known.value
        try:
            # Another thread may have made it meanwhile; what changes from here on is seen the next time.
            now, known = stamp(), self._known(name)
            if known is not None and known.stamp == now:
                return known.value
            begun = time.monotonic()
            value = make()
            ended = time.monotonic()
            with self._table:
                self._made[name] = _Made(value, now, ended, ended - begun)
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
            return value
        finally:
            self._making.release()

    def _known(self, name: Hashable) -> _Made[T] | None:
        with self._table:
            if name in self._made:
                self._made.move_to_end(name)
            return self._made.get(name)
