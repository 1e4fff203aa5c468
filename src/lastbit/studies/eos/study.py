"""An edge-of-stability study as a Python object: its verdict, its tables, its arrays with named dimensions."""

from __future__ import annotations

from typing import Any

import xarray as xr

from lastbit.core.errors import LastbitError, choose
from lastbit.studies.eos.result import EosResult
from lastbit.studies.frame.study import Study

__all__ = ["EosStudy"]

_MEASURED = (
    "loss",
    "gradient_norm",
    "sharpness",
    "limit",
    "ratio",
    "residual",
    "converged",
    "smallest",
    "growing",
    "alignment",
    "lr",
)


class EosStudy(Study[EosResult]):
    """An edge-of-stability study on disk.

    Example:
        >>> study = open_study("lastbit-studies/eos-digits-001")  # doctest: +SKIP
        >>> study.to_xarray()["ratio"].plot()  # doctest: +SKIP
    """

    def _rows(self, data: xr.Dataset) -> xr.Dataset:
        """Return the measurements of the first training, a row per step."""
        return data[list(_MEASURED)]

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
        variables: dict[str, Any] = {key: ("step", arrays[key]) for key in _MEASURED}
        coordinates: dict[str, Any] = {"step": arrays["step"]}
        if "distance" in arrays:
            count = arrays["distance"].shape[0]
            coordinates["twin"] = ["repeat", *(f"twin{index}" for index in range(1, count))]
            variables["distance"] = (("twin", "step"), arrays["distance"])
            variables["relative_l1"] = (("twin", "step"), arrays["relative_l1"])
            variables["norm"] = ("step", arrays["norm"])
        if "layer" in arrays:
            coordinates |= {"layer": arrays["layer"], "layer_step": arrays["layer_step"]}
            variables["layer_ratio"] = (("layer_step", "layer"), arrays["layer_ratio"])
        return xr.Dataset(variables, coordinates, {"verdict": self.verdict, "command": self.result.command})
