"""An examination on disk."""

from __future__ import annotations

from lastbit.report.junit import render_junit
from lastbit.studies.doctor.result import DoctorResult
from lastbit.studies.frame.result import outcome_of
from lastbit.studies.frame.study import Study

__all__ = ["DoctorStudy"]


class DoctorStudy(Study[DoctorResult]):
    """An examination on disk.

    Example:
        >>> from lastbit import open_study
        >>> found = open_study("lastbit-studies/doctor-digits-001")  # doctest: +SKIP
        >>> found.result.verdict_kind  # doctest: +SKIP
        'identical'
    """

    def junit(self) -> str:
        """Return the answer as JUnit XML: a test case, which fails where the runs differ."""
        found = self.result
        return render_junit(
            self.page,
            question="lastbit doctor",
            of=found.program,
            outcome=outcome_of(found.verdict_kind, found.exit_code),
            kind=found.verdict_kind,
            seconds=sum(one.seconds for one in found.outcomes),
        )
