"""What a program takes from its threads and processes as it comes, and the threads that it starts.

Of queues only what the main thread's own lines take is noted: there the order of arrival becomes the program's.

Only the standard library is imported: this is loaded by `sitecustomize.py` before anything of lastbit's is.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial, wraps
from types import FrameType
from typing import Any

from lastbit.launch.site.digests import digest
from lastbit.launch.site.lines import is_own, packaged, place_of
from lastbit.launch.site.taps import Tap, Taps

__all__ = ["calls", "running"]

_BARS = f"{os.sep}tqdm{os.sep}"
"""Bars of progress go through what is given to them, on behalf of the line around them."""

_STARTED = "_lastbit_started"


def calls(taps: Taps) -> dict[str, Callable[[], None]]:
    """Begin with threads, and return, by the module after whose import it is due, what notes the rest."""
    _threads(taps)
    return {
        "queue": partial(_queues, taps, "queue", ("Queue",)),
        "multiprocessing.queues": partial(_queues, taps, "multiprocessing.queues", ("Queue", "SimpleQueue")),
        "concurrent.futures": partial(_completed, taps),
        "multiprocessing.pool": partial(_unordered, taps),
    }


def running() -> list[Tap]:
    """Return the threads that the program's own lines have started and that still run, by the line of each."""
    found = {}
    for thread in threading.enumerate():
        place, at = thread.__dict__.get(_STARTED, (None, (0, 0)))
        if place is not None and place not in found:
            tap = found[place] = Tap("thread", "threading.Thread.start", place)
            tap.at, tap.count, tap.said = at, 1, _runs(thread)
    return list(found.values())


def _runs(thread: threading.Thread) -> str:
    """Return the name of what a thread runs."""
    target = getattr(thread, "_target", None) or type(thread).run
    return str(getattr(target, "__qualname__", type(target).__qualname__))


def _threads(taps: Taps) -> None:
    plain = threading.Thread.start

    @wraps(plain)
    def start(thread: threading.Thread) -> None:
        place, _, aside = place_of(sys._getframe(1))
        if place is not None and not aside and not packaged(place[0]):
            thread.__dict__[_STARTED] = place, taps.now()
        plain(thread)

    setattr(threading.Thread, "start", start)  # noqa: B010


def _queues(taps: Taps, module: str, names: tuple[str, ...]) -> None:
    for name in names:
        kind: Any = getattr(sys.modules[module], name)
        kind.get = _noting(taps, kind.get, f"{module}.{name}.get", sys.modules[module].__file__)


def _noting(taps: Taps, plain: Callable[..., Any], what: str, file: str | None) -> Callable[..., Any]:
    @wraps(plain)
    def get(queue: Any, *args: Any, **kwargs: Any) -> Any:
        value, frame = plain(queue, *args, **kwargs), sys._getframe(1)
        if frame.f_code.co_filename == file and frame.f_back is not None:
            frame = frame.f_back  # get_nowait
        if is_own(frame) and threading.current_thread() is threading.main_thread():
            taps.note("taken", what, partial(digest, value), frame)
        return value

    return get


def _completed(taps: Taps) -> None:
    modules: Any = sys.modules["concurrent.futures"], sys.modules["concurrent.futures._base"]
    plain = modules[1].as_completed

    @wraps(plain)
    def as_completed(fs: Any, timeout: float | None = None) -> Iterator[Any]:
        ordered = not isinstance(fs, (set, frozenset))
        fs = list(fs)
        numbers = {id(one): place for place, one in enumerate(fs)} if ordered else {}
        for future in plain(fs, timeout):
            said = partial(_gave, numbers.get(id(future)), future)
            taps.note("taken", "concurrent.futures.as_completed", said, _around_bars(sys._getframe(1)))
            yield future

    for module in modules:
        module.as_completed = as_completed


def _gave(number: int | None, future: Any) -> str:
    """Return the place of a future among those that were given, or what it came to."""
    if number is not None:
        return f"number {number}"
    return "nothing" if future.cancelled() or future.exception() else str(digest(future.result()))


def _unordered(taps: Taps) -> None:
    kind: Any = sys.modules["multiprocessing.pool"].IMapUnorderedIterator
    plain = kind.next

    @wraps(plain)
    def following(results: Any, timeout: float | None = None) -> Any:
        value = plain(results, timeout)
        frame = _around_bars(sys._getframe(1))
        taps.note("taken", "multiprocessing.Pool.imap_unordered", partial(digest, value), frame)
        return value

    kind.next = kind.__next__ = following


def _around_bars(frame: FrameType | None) -> FrameType | None:
    while frame is not None and _BARS in frame.f_code.co_filename:
        frame = frame.f_back
    return frame
