"""An edge-of-stability study as a Python object: its verdict, its tables, its arrays with named dimensions."""

from __future__ import annotations

from typing import Any

import xarray as xr

from lastbit.core.errors import LastbitError, choose
from lastbit.studies.eos.follow import MEASURED
from lastbit.studies.eos.result import EosResult
from lastbit.studies.frame.study import Study

__all__ = ["EosStudy"]

_BY_STEP = (*(name for name in MEASURED if name not in ("step", "products", "seconds")), "lr")
_DIMENSIONS = {
    **dict.fromkeys(_BY_STEP, ("step",)),
    "distance": ("twin", "step"),
    "relative_l1": ("twin", "step"),
    "norm": ("step",),
    "layer_ratio": ("layer_step", "layer"),
}


class EosStudy(Study[EosResult]):
    """An edge-of-stability study on disk.

    Example:
        >>> study = open_study("lastbit-studies/eos-digits-001")  # doctest: +SKIP
        >>> study.to_xarray()["ratio"].plot()  # doctest: +SKIP
    """

    def _rows(self, data: xr.Dataset) -> xr.Dataset:
        """Return the measurements of the first training, a row per step."""
        return data[list(_BY_STEP)]

    def to_xarray(self, cell: str | None = None) -> xr.Dataset:
        """Return what was measured in one training, with dimensions `step`, `twin` (the repeat first) and `layer`.

        `loss`, `sharpness`, `limit`, `ratio` and the rest of a `StabilityRecord` by `step`; `distance` and
        `relative_l1` by (`twin`, `step`), the base weights' `norm` by `step`; `layer_ratio` by (`layer_step`, `layer`).

        Args:
            cell: of a sweep, as `result.cells` names them; by default the first.

        Raises:
            LastbitError: no such training, or none is finished.
        """
        names = [found.name for found in self.result.cells]
        if not names:
            raise LastbitError(
                f"{self.path} has no finished training: continue it with lastbit eos --resume {self.path}"
            )
        name = choose(cell, names, "cell") if cell is not None else names[0]
        with self._folder() as folder:
            arrays = folder.arrays(name)
        variables = {name: (axes, arrays[name]) for name, axes in _DIMENSIONS.items() if name in arrays}
        coordinates: dict[str, Any] = {name: arrays[name] for name in ("step", "layer", "layer_step") if name in arrays}
        if "distance" in arrays:
            coordinates["twin"] = ["repeat", *(f"twin{index}" for index in range(1, len(arrays["distance"])))]
        return xr.Dataset(variables, coordinates, {"verdict": self.verdict, "command": self.result.command})
