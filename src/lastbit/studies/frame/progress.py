"""What is told while a grid is trained: live bars, a line per event, a line of JSON per event, or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from lastbit.core.terminal import say, standard_error, visible
from lastbit.report.formatting import seconds

__all__ = ["FORMS", "GridProgress", "Happened", "grid_progress"]

FORMS = ("bar", "plain", "json", "none")
"""How it can be told."""

_SECONDS = 1.0
"""Shortest time between two lines of JSON that say no more than that steps were taken."""


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One event, and how far the study is: the fields of a line of JSON."""

    time: str
    """Of the event, ISO 8601 in UTC."""
    event: str
    """`started`, `progress`, `finished` or `note`."""
    study: str
    """Folder of the study."""
    done: int
    """Runs that ended, those found at the start included."""
    total: int
    """Runs of the study."""
    step: int
    """Optimizer steps taken over all runs; it never falls, where a run is tried again either."""
    steps: int
    """Optimizer steps of all runs."""
    elapsed_seconds: float
    eta_seconds: float | None
    """Time left if it goes on as fast; None before the first step."""
    run: str | None
    """What the event is about."""
    message: str
    """How a run ended, or what else should be known."""
    spread: str = ""
    """The spread so far, where there is one."""


class GridProgress:
    """Told what happens to a grid of `runs` runs, `done` of them finished before, of `steps` steps each.

    Args:
        runs: of the grid.
        done: those finished before.
        steps: of each run.
        study: folder of the study.
        show: told each event.
    """

    def __init__(self, runs: int, done: int, steps: int, study: str, show: Callable[[Happened], None]) -> None:
        self._total, self._done, self._steps, self._study, self._show = runs, done, steps, study, show
        self._under_way: dict[str, int] = {}
        self._first = self._step = done * steps
        self._begun = time.monotonic()

    def started(self, run: str, attempt: int) -> None:
        """Take note that a run began."""
        self._under_way[run] = 0
        self._tell("started", run, "tried again" if attempt > 1 else "")

    def progressed(self, run: str, steps: int) -> None:
        """Take note that a run has taken `steps` steps."""
        self._under_way[run] = steps
        self._tell("progress", run)

    def finished(self, run: str, said: str, spread: str) -> None:
        """Take note that a run ended; `said` is its result and `spread` the spread so far."""
        self._under_way.pop(run, None)
        self._done += 1
        self._tell("finished", run, said, spread)

    def event(self, message: str) -> None:
        """Say something else that a person should know."""
        self._tell("note", None, message)

    def _tell(self, event: str, run: str | None, message: str = "", spread: str = "") -> None:
        steps, under_way = self._total * self._steps, sum(self._under_way.values())
        self._step = max(self._step, min(self._done * self._steps + under_way, steps))
        elapsed, taken = time.monotonic() - self._begun, self._step - self._first
        left = elapsed * (steps - self._step) / taken if taken else 0.0 if self._step == steps else None
        self._show(
            Happened(
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
                event=event,
                study=self._study,
                done=self._done,
                total=self._total,
                step=self._step,
                steps=steps,
                elapsed_seconds=round(elapsed, 3),
                eta_seconds=None if left is None else round(left, 3),
                run=run,
                message=message,
                spread=spread,
            )
        )


@contextmanager
def grid_progress(
    *, runs: int, done: int, steps: int, study: str = "", form: str | None = None, quiet: bool = False
) -> Iterator[GridProgress]:
    """Choose how to show a grid of `runs` runs (`done` of them finished before) of `steps` steps each.

    Args:
        runs: of the grid.
        done: those finished before.
        steps: of each run.
        study: folder of the study.
        form: `bar`, `plain`, `json` or `none`; None is `none` where `quiet`, else a bar on a terminal and in a
            notebook, and `plain` elsewhere.
        quiet: show nothing, where no form is asked for.
    """
    console = Console(file=standard_error(), force_terminal=form == "bar" or None, force_jupyter=False)
    notebook = Console().is_jupyter
    form = form or ("none" if quiet else "bar" if console.is_terminal or notebook else "plain")
    if form == "bar" and notebook:
        cell = _Notebook(Console(file=standard_error(), force_jupyter=False))
        cell.begin(runs, done, steps)
        yield GridProgress(runs, done, steps, study, cell.show)
        return
    if form == "bar":
        with _Bars(console) as bars:
            bars.begin(runs, done, steps)
            yield GridProgress(runs, done, steps, study, bars.show)
        return
    shown: dict[str, Callable[[Happened], None]] = {"plain": _plainly, "json": _JsonLines(), "none": lambda _: None}
    yield GridProgress(runs, done, steps, study, shown[form])


class _Bars(Progress):
    """Two bars of a terminal, runs and steps, each with the time that is left; messages go above them."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[spread]}", markup=False),
            console=console,
            refresh_per_second=5,
        )

    def begin(self, runs: int, done: int, steps: int) -> None:
        self._runs = self.add_task("runs", total=runs, completed=done, spread="")
        self._steps = self.add_task("steps", total=runs * steps, completed=done * steps, spread="")

    def show(self, happened: Happened) -> None:
        if happened.event == "note":
            self.console.print(Text(visible(happened.message)))
        if happened.event == "finished":
            self.update(self._runs, completed=happened.done, spread=visible(happened.spread))
        self.update(self._steps, completed=happened.step)


class _Notebook(_Bars):
    """The same bars in the output of a notebook's cell: one display, replaced where it stands.

    A notebook has no cursor that could go back, so that the codes of a terminal would pile up, as lines do. rich's own
    live display there needs ipywidgets; this needs what every kernel has.
    """

    def begin(self, runs: int, done: int, steps: int) -> None:
        from IPython.display import display

        super().begin(runs, done, steps)
        self._handle: Any = display(self, display_id=True)
        self._drawn = time.monotonic()

    def show(self, happened: Happened) -> None:
        super().show(happened)
        now = time.monotonic()
        if happened.event == "finished" or now - self._drawn >= _SECONDS:
            self._handle.update(self)
            self._drawn = now


def _plainly(happened: Happened) -> None:
    """Say a line where something began anew, ended or is to be known."""
    if happened.event == "note":
        say(happened.message, error=True)
    elif happened.event == "started" and happened.message:
        say(f"{happened.run}: {happened.message}", error=True)
    elif happened.event == "finished":
        left = f", {seconds(happened.eta_seconds)} left" if happened.eta_seconds else ""
        tail = f" | {happened.spread}" if happened.spread else ""
        so_far = f"[{happened.done}/{happened.total}, {seconds(happened.elapsed_seconds)}{left}]"
        say(f"{so_far} {happened.run}: {happened.message}{tail}", error=True)


class _JsonLines:
    """A line of JSON for each event, for the steps alone not more than one a second."""

    def __init__(self) -> None:
        self._last = -_SECONDS

    def __call__(self, happened: Happened) -> None:
        now = time.monotonic()
        if happened.event == "progress":
            if now - self._last < _SECONDS:
                return
            self._last = now
        say(json.dumps(asdict(happened)), error=True)
