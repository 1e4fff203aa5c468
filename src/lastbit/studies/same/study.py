"""A check of sameness on disk."""

from __future__ import annotations

import xarray as xr

from lastbit.core.errors import LastbitError
from lastbit.report.junit import render_junit
from lastbit.studies.frame.result import outcome_of
from lastbit.studies.frame.study import Study
from lastbit.studies.same.result import SameResult, evidence_of

__all__ = ["SameStudy"]


class SameStudy(Study[SameResult]):
    """A check of sameness on disk.

    Example:
        >>> from lastbit import open_study
        >>> found = open_study("lastbit-studies/same-digits-001")  # doctest: +SKIP
        >>> found.result.verdict_kind  # doctest: +SKIP
        'same_up_to_rounding'
    """

    def junit(self) -> str:
        """Return the answer as JUnit XML: a test case, which fails where the candidate is another training."""
        found, ran = self.result, self.result.ran
        return render_junit(
            self.page,
            question="lastbit same",
            of=self.page.subtitle,
            outcome=outcome_of(found.verdict_kind, found.exit_code),
            kind=found.verdict_kind,
            seconds=0.0 if ran is None else ran.seconds,
        )

    def to_xarray(self) -> xr.Dataset:
        """Return every comparison: `units` of rounding, `difference`, `size` and `unequal` by (step, tensor).

        Raises:
            LastbitError: nothing was compared yet.
        """
        with self._folder() as folder:
            evidence = evidence_of(folder)
        if evidence is None:
            raise LastbitError(f"{self.path} has compared nothing yet: lastbit same --resume {self.path} continues it")
        axes = ("step", "tensor")
        data = {name: (axes, getattr(evidence, name)) for name in ("units", "difference", "size", "unequal")}
        names = [f"{one.role}: {one.name}" for one in evidence.tensors]
        return xr.Dataset(data, {"step": evidence.steps, "tensor": names}, {"verdict": self.verdict})
