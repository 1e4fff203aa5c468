"""The front door for Python: studies that can draw their own report.

This is where `studies` and `report` meet for a user; neither imports the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lastbit import studies
from lastbit.report import render_report
from lastbit.studies.study import AuditStudy
from lastbit.tasks import Task

__all__ = ["Study", "audit", "open_study"]


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


def open_study(path: str | Path) -> Study:
    """Open an audit that was trained before, finished or not.

    Raises:
        LastbitError: the folder holds no study, or one of another format.
    """
    return Study(Path(path))
