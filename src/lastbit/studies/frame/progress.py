"""What a person sees while a grid is trained: a live bar in a terminal, one line per event elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["GridProgress", "LineProgress", "LiveProgress", "SilentProgress", "grid_progress"]


class GridProgress(Protocol):
    """Told what happens to a grid of `runs` runs of `steps` steps each."""

    def started(self, run: str, attempt: int) -> None:
        """A run began."""

    def progressed(self, run: str, steps: int) -> None:
        """A run has taken `steps` steps."""

    def finished(self, run: str, said: str, spread: str) -> None:
        """A run ended; `said` is its result and `spread` the spread so far."""

    def event(self, message: str) -> None:
        """Something else that a person should know."""


class SilentProgress:
    """Says nothing."""

    def started(self, run: str, attempt: int) -> None:
        """Say nothing."""

    def progressed(self, run: str, steps: int) -> None:
        """Say nothing."""

    def finished(self, run: str, said: str, spread: str) -> None:
        """Say nothing."""

    def event(self, message: str) -> None:
        """Say nothing."""


class LineProgress:
    """Writes one line per event to standard error."""

    def __init__(self, runs: int, done: int) -> None:
        self._runs, self._done = runs, done
        self._begun = time.monotonic()

    def started(self, run: str, attempt: int) -> None:
        """Say so only for a second try."""
        if attempt > 1:
            self.event(f"{run}: tried again")

    def progressed(self, run: str, steps: int) -> None:
        """Say nothing: lines are for events."""

    def finished(self, run: str, said: str, spread: str) -> None:
        """Write the line of the run."""
        self._done += 1
        elapsed = time.monotonic() - self._begun
        tail = f" | {spread}" if spread else ""
        self.event(f"[{self._done}/{self._runs}, {elapsed:.0f} s] {run}: {said}{tail}")

    def event(self, message: str) -> None:
        """Write a line."""
        print(message, file=sys.stderr, flush=True)


class LiveProgress:
    """A bar over the steps of the whole grid, with the current spread."""

    def __init__(self, progress: Progress, runs: int, done: int, steps: int) -> None:
        self._progress = progress
        self._steps = steps
        self._under_way: dict[str, int] = {}
        self._done_steps = done * steps
        self._runs = progress.add_task("runs", total=runs, completed=done, spread="")
        self._bar = progress.add_task("steps", total=runs * steps, completed=self._done_steps, spread="")

    def started(self, run: str, attempt: int) -> None:
        """Count the run among those under way."""
        self._under_way[run] = 0

    def progressed(self, run: str, steps: int) -> None:
        """Move the bar."""
        self._under_way[run] = steps
        self._progress.update(self._bar, completed=self._done_steps + sum(self._under_way.values()))

    def finished(self, run: str, said: str, spread: str) -> None:
        """Move the bars and show the spread."""
        self._under_way.pop(run, None)
        self._done_steps += self._steps
        self._progress.update(self._bar, completed=self._done_steps + sum(self._under_way.values()))
        self._progress.update(self._runs, advance=1, spread=spread)

    def event(self, message: str) -> None:
        """Write a line above the bars."""
        self._progress.console.print(message, highlight=False, markup=False)


@contextmanager
def grid_progress(*, runs: int, done: int, steps: int, quiet: bool) -> Iterator[GridProgress]:
    """Choose how to show a grid of `runs` runs (`done` of them finished before) of `steps` steps each."""
    console = Console(stderr=True)
    if quiet:
        yield SilentProgress()
    elif not console.is_terminal:
        yield LineProgress(runs, done)
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[spread]}"),
        )
        with Progress(*columns, console=console, refresh_per_second=5) as progress:
            yield LiveProgress(progress, runs, done, steps)
