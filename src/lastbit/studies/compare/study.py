"""A comparison on disk."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lastbit.studies.compare.result import CompareResult
from lastbit.studies.frame.study import Study

__all__ = ["CompareStudy"]


class CompareStudy(Study[CompareResult]):
    """A comparison on disk.

    Example:
        >>> from lastbit import compare
        >>> study = compare([97.1, 97.4, 96.9], [98.0, 98.4, 98.3], better="higher", quiet=True)  # doctest: +SKIP
        >>> study.result.verdict_kind  # doctest: +SKIP
        'real'
    """

    def to_xarray(self) -> xr.Dataset:
        """Return every run that counts: `value`, `arm`, `name` of the arm, and `seed` by (run).

        Seeds are numbers where all of them are.
        """
        rows = [
            (arm.letter, arm.name, *one)
            for arm in self.result.arms
            for one in zip(arm.seed_of, arm.values, strict=True)
        ]
        arms, names, seeds, values = zip(*rows, strict=True) if rows else ((), (), (), ())
        # What 64 bits hold, and no two names of one number.
        numbered = all(seed.isdecimal() and len(seed) < 19 and seed == str(int(seed)) for seed in seeds)
        named = [int(seed) for seed in seeds] if numbered else list(seeds)
        data = {"value": ("run", np.array(values, float)), "arm": ("run", list(arms)), "seed": ("run", named)}
        data["name"] = ("run", list(names))
        attributes = {"metric": self.result.metric, "unit": self.result.unit, "verdict": self.verdict}
        return xr.Dataset(data, {"run": np.arange(len(rows))}, attributes)
