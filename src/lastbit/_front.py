"""The front door for Python: studies that can draw their own report.

This is where `studies` and `report` meet for a user; neither imports the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lastbit import studies
from lastbit.report import render_report
from lastbit.studies import compare_sketches
from lastbit.studies.study import AuditStudy
from lastbit.studies.tracing.study import TraceStudy
from lastbit.tasks import Task

__all__ = ["Study", "Trace", "audit", "compare_sketches", "open_study", "trace"]


class Study(AuditStudy):
    """An audit on disk that can draw its report."""

    def report(self, path: str | Path | None = None) -> Path:
        """Write the HTML report, one file that opens offline, and return where it lies (`report.html` in the study)."""
        self.conclude()
        return render_report(self.path, None if path is None else Path(path))


def audit(task: str | Task | None = None, **options: Any) -> Study:
    """Measure how much of a training's result is the last floating-point bit; see `lastbit.studies.audit`.

    Example:
        >>> study = audit("digits", seeds=2, perturbations=2, epochs=1, quiet=True)  # doctest: +SKIP
        >>> print(study.summary())  # doctest: +SKIP
        >>> study.report("report.html")  # doctest: +SKIP
    """
    return Study(studies.audit(task, **options).path)


class Trace(TraceStudy):
    """A trace on disk that can draw its report."""

    def report(self, path: str | Path | None = None) -> Path:
        """Write the HTML report, one file that opens offline, and return where it lies (`report.html` in the study)."""
        self.conclude()
        return render_report(self.path, None if path is None else Path(path))


def trace(task: str | Task | None = None, **options: Any) -> Trace:
    """Find where and when one bit was amplified in a training; see `lastbit.studies.trace`.

    Example:
        >>> study = trace("digits", perturbation="ulp", epochs=5, quiet=True)  # doctest: +SKIP
        >>> study.result["verdict"]  # doctest: +SKIP
        'restrained'
    """
    return Trace(studies.trace(task, **options).path)


def open_study(path: str | Path) -> Study | Trace:
    """Open a study that was trained before, finished or not.

    Raises:
        LastbitError: the folder holds no study, or one of another format.
    """
    return Trace(Path(path)) if isinstance(studies.open_study(path), TraceStudy) else Study(Path(path))
