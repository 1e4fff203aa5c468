"""A search for a remedy on disk."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lastbit.core.status import Role
from lastbit.studies.frame.folders import arms_of
from lastbit.studies.frame.study import Study
from lastbit.studies.remedy.names import names_of
from lastbit.studies.remedy.result import RemedyResult

__all__ = ["RemedyStudy"]


class RemedyStudy(Study[RemedyResult]):
    """A search for a remedy on disk.

    Example:
        >>> from lastbit import remedy
        >>> study = remedy("digits", change=("gelu", "decay/10"), quiet=True)  # doctest: +SKIP
        >>> study.result.remedy  # doctest: +SKIP
        'gelu'
    """

    def to_xarray(self) -> xr.Dataset:
        """Return every run but the exact repeats, by (run): `change`, `seed`, `perturbation`, `status`, `seconds`.

        The final metrics stand beside these under their own names, NaN where a run has none.
        """
        with self.opened() as folder:
            cells = folder.facts["cells"]
            names = names_of(arms_of(folder.facts["spec"]), folder.facts["spec"]["settings"]["variant"])
            runs = [one for one in folder.runs() if one.role != Role.REPEAT]
        data = {
            "change": ("run", [names[cells[one.cell].get("arm", 0)] for one in runs]),
            "seed": ("run", [cells[one.cell]["seed"] for one in runs]),
            "perturbation": ("run", [one.twin for one in runs]),
            "status": ("run", [str(one.status) for one in runs]),
            "seconds": ("run", np.array([one.seconds for one in runs], float)),
        }
        for name in dict.fromkeys(name for one in runs for name in one.final):
            data[name if name not in data else f"{name}_metric"] = (
                "run",
                np.array([one.final.get(name, np.nan) for one in runs], float),
            )
        attributes = {"verdict": self.verdict, "unit": self.result.unit}
        return xr.Dataset(data, {"run": [one.run for one in runs]}, attributes)
