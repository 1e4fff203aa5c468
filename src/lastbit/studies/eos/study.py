"""An edge-of-stability study as a Python object: its verdict, its tables, its arrays with named dimensions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import RenderableType

from lastbit.core.errors import LastbitError, choose
from lastbit.report.text import brief
from lastbit.store import SCHEMA, StudyFolder
from lastbit.studies.eos.page import eos_page
from lastbit.studies.eos.result import EosResult, conclude
from lastbit.studies.frame.folders import check_kind
from lastbit.studies.frame.stored import StoredStudy, write_table

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


class EosStudy(StoredStudy):
    """An edge-of-stability study on disk.

    Example:
        >>> study = EosStudy(Path("lastbit-studies/eos-digits-001"))  # doctest: +SKIP
        >>> study.to_xarray()["ratio"].plot()  # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with StudyFolder.read(path) as folder:
            check_kind(folder, "eos", "an edge-of-stability study")
            stored = folder.result() if folder.facts["schema"] == SCHEMA else None
            self.result: EosResult = EosResult.from_json(stored) if stored else conclude(folder)
            """What the study concluded."""

    @property
    def passed(self) -> bool:
        """Whether every repeat matched bit for bit, so that the growth is the last bit's."""
        return self.result.verdict_kind not in ("not_reproducible", "no_runs")

    def _render(self) -> RenderableType:
        with StudyFolder.read(self.path) as folder:
            return brief(eos_page(folder, self.result))

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
        with StudyFolder.read(self.path) as folder:
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

    def export(self, target: str | Path) -> Path:
        """Write the first training to a file: `.nc` (all arrays, NetCDF), `.csv` or `.parquet` (a row per step).

        Raises:
            LastbitError: the ending is another, or the optional packages for tables are missing.
        """
        return write_table(target, self.to_xarray(), lambda data: data[list(_MEASURED)])
