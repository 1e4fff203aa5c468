"""An examination on disk."""

from __future__ import annotations

from lastbit.studies.doctor.junit import junit_xml
from lastbit.studies.doctor.result import DoctorResult
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
        """Return the answer as JUnit XML: a test case for each comparison, which fails where the runs differ."""
        return junit_xml(self.result, self.summary())
