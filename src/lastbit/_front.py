"""The front door for Python: studies that can draw their own report.

This is where `studies` and `report` meet for a user; neither imports the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lastbit import studies
from lastbit.report import render_report
from lastbit.studies import compare_sketches
from lastbit.studies.edge.sharpness_study import SharpnessStudy
from lastbit.studies.edge.study import EosStudy
from lastbit.studies.stored import StoredStudy
from lastbit.studies.study import AuditStudy
from lastbit.studies.tracing.study import TraceStudy
from lastbit.tasks import Task

__all__ = [
    "Edge",
    "Sharpness",
    "Study",
    "Trace",
    "audit",
    "compare_sketches",
    "eos",
    "open_study",
    "sharpness",
    "trace",
]


class _Drawn(StoredStudy):
    """A study that can draw its report."""

    def report(self, path: str | Path | None = None) -> Path:
        """Write the HTML report, one file that opens offline, and return where it lies.

        A study that is unfinished is drawn as far as it was when it was opened, and says so first. Nothing else is
        written.

        Args:
            path: the file; by default `report.html` in the study, or `NAME-report.html` beside the folder `NAME` while
                a process is at work on it.

        Raises:
            LastbitError: the file cannot be written, or the study is damaged.
        """
        return render_report(self.path, None if path is None else Path(path), result=self.result)


class Study(AuditStudy, _Drawn):
    """An audit on disk that can draw its report."""


def audit(task: str | Task | None = None, **options: Any) -> Study:
    """Measure how much of a training's result is the last floating-point bit; see `lastbit.studies.audit`.

    Example:
        >>> study = audit("digits", seeds=2, perturbations=2, epochs=1, quiet=True)  # doctest: +SKIP
        >>> print(study.summary())  # doctest: +SKIP
        >>> study.report("report.html")  # doctest: +SKIP
    """
    return Study(studies.audit(task, **options).path)


class Trace(TraceStudy, _Drawn):
    """A trace on disk that can draw its report."""


def trace(task: str | Task | None = None, **options: Any) -> Trace:
    """Find where and when one bit was amplified in a training; see `lastbit.studies.trace`.

    Example:
        >>> study = trace("digits", perturbation="ulp", epochs=5, quiet=True)  # doctest: +SKIP
        >>> study.result["verdict"]  # doctest: +SKIP
        'restrained'
    """
    return Trace(studies.trace(task, **options).path)


class Edge(EosStudy, _Drawn):
    """An edge-of-stability study on disk that can draw its report."""


def eos(task: str | Task | None = None, **options: Any) -> Edge:
    """Follow trainings along their edge of stability, twins beside them; see `lastbit.studies.eos`.

    Example:
        >>> study = eos("digits", weight_decay=(0, 0.01), quiet=True)  # doctest: +SKIP
        >>> study.result["entered_at_step"]  # doctest: +SKIP
        348
    """
    return Edge(studies.eos(task, **options).path)


class Sharpness(SharpnessStudy, _Drawn):
    """One measurement of sharpness on disk that can draw its report."""


def sharpness(task: str | Task | None = None, **options: Any) -> Sharpness:
    """Measure how sharp a network is now, by layer, and what its optimizer could bear; see `lastbit.studies.sharpness`.

    Example:
        >>> found = sharpness("digits", after=100)  # doctest: +SKIP
        >>> found.result["whole"]["ratio"]  # doctest: +SKIP
    """
    return Sharpness(studies.sharpness(task, **options).path)


def open_study(path: str | Path) -> Study | Trace | Edge | Sharpness:
    """Open a study that was trained before, finished or not.

    Raises:
        LastbitError: the folder holds no study, or one of another format.
    """
    found = studies.open_study(path)
    if isinstance(found, TraceStudy):
        return Trace(Path(path))
    if isinstance(found, EosStudy):
        return Edge(Path(path))
    return Sharpness(Path(path)) if isinstance(found, SharpnessStudy) else Study(Path(path))
