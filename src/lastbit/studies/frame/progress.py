"""What a person sees while a grid is trained: a live bar in a terminal, one line per event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from lastbit.core.terminal import say, standard_error, visible
from lastbit.report.formatting import seconds

__all__ = ["GridProgress", "grid_progress"]


class GridProgress:
    """Told what happens to a grid of `runs` runs, `done` of them finished before, of `steps` steps each.

    Args:
        runs: of the grid.
        done: those finished before.
        steps: of each run.
        quiet: say nothing.
        bars: bars of a terminal to move; without them it says a line per event on standard error.
    """

    def __init__(self, runs: int, done: int, steps: int, *, quiet: bool = False, bars: Progress | None = None) -> None:
        self._total, self._done, self._steps, self._quiet, self._bars = runs, done, steps, quiet, bars
        self._under_way: dict[str, int] = {}
        self._begun = time.monotonic()
        if bars is not None:
            self._runs = bars.add_task("runs", total=runs, completed=done, spread="")
            self._bar = bars.add_task("steps", total=runs * steps, completed=done * steps, spread="")

    def started(self, run: str, attempt: int) -> None:
        """Take note that a run began."""
        self._under_way[run] = 0
        if attempt > 1 and self._bars is None:
            self.event(f"{run}: tried again")

    def progressed(self, run: str, steps: int) -> None:
        """Take note that a run has taken `steps` steps."""
        self._under_way[run] = steps
        self._move()

    def finished(self, run: str, said: str, spread: str) -> None:
        """Take note that a run ended; `said` is its result and `spread` the spread so far."""
        self._under_way.pop(run, None)
        self._done += 1
        if self._bars is not None:
            self._move()
            self._bars.update(self._runs, completed=self._done, spread=visible(spread))
        else:
            elapsed = seconds(time.monotonic() - self._begun)
            tail = f" | {spread}" if spread else ""
            self.event(f"[{self._done}/{self._total}, {elapsed}] {run}: {said}{tail}")

    def event(self, message: str) -> None:
        """Say something else that a person should know."""
        if self._bars is not None:
            self._bars.console.print(Text(visible(message)))
        elif not self._quiet:
            say(message, error=True)

    def _move(self) -> None:
        if self._bars is not None:
            self._bars.update(self._bar, completed=self._done * self._steps + sum(self._under_way.values()))


@contextmanager
def grid_progress(*, runs: int, done: int, steps: int, quiet: bool) -> Iterator[GridProgress]:
    """Choose how to show a grid of `runs` runs (`done` of them finished before) of `steps` steps each."""
    console = Console(file=standard_error())
    if quiet or not console.is_terminal:
        yield GridProgress(runs, done, steps, quiet=quiet)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[spread]}", markup=False),
    )
    with Progress(*columns, console=console, refresh_per_second=5) as bars:
        yield GridProgress(runs, done, steps, bars=bars)
