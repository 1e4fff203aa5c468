"""What an edge-of-stability study concludes: each training against its own limit, and what size does to it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import xarray as xr

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.store import StudyFolder
from lastbit.studies.eos.cell_result import EosCell, Headlines, read_cell
from lastbit.studies.eos.follow import MEASURED
from lastbit.studies.eos.size_trend import SizeTrend, size_trends
from lastbit.studies.eos.verdict import cell_kind, study_verdict
from lastbit.studies.frame.result import Result, head
from lastbit.studies.frame.study import Study, training_named

__all__ = ["HEADLINES", "EosResult", "EosStudy", "conclude"]

_BY_STEP = (*(name for name in MEASURED if name not in ("step", "products", "seconds")), "lr")
_DIMENSIONS = {
    **dict.fromkeys(_BY_STEP, ("step",)),
    "distance": ("twin", "step"),
    "relative_l1": ("twin", "step"),
    "norm": ("step",),
    "layer_ratio": ("layer_step", "layer"),
}

HEADLINES = tuple(field.name for field in fields(Headlines))
"""What the JSON repeats at its top of the first training: the whole answer where there is no sweep."""


@dataclass(frozen=True, kw_only=True)
class EosResult(Result):
    """What an edge-of-stability study concluded.

    Every field of the first training that `HEADLINES` names is an attribute of the result too.

    Example:
        >>> from lastbit import open_study
        >>> study = open_study("lastbit-studies/eos-digits-001")  # doctest: +SKIP
        >>> study.result.ratio_tail.estimate, study.result.cells[0].stable_lr.lowest  # doctest: +SKIP
        (1.03, 0.19)
    """

    cells: tuple[EosCell, ...]
    """Every training that is in, in the order of the sweep."""
    trends: tuple[SizeTrend, ...]
    """What the sizes of the network do, where they are varied."""

    def __getattr__(self, name: str) -> Any:
        if name not in HEADLINES:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if not self.cells:
            raise LastbitError(f"{name} is that of the first training, and none is finished")
        return getattr(self.cells[0], name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *HEADLINES]

    def to_json(self) -> dict[str, Any]:
        """Return the content of `result.json`, the headlines of the first training repeated at its top."""
        found = super().to_json()
        return found | {name: found["cells"][0][name] for name in HEADLINES if found["cells"]}

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of the content, with the headlines at its top."""
        schema = super().json_schema()
        of_cell = schema["$defs"][EosCell.__name__]["properties"]
        return {**schema, "properties": {**schema["properties"], **{name: of_cell[name] for name in HEADLINES}}}


class EosStudy(Study[EosResult]):
    """An edge-of-stability study on disk.

    Example:
        >>> from lastbit import open_study
        >>> study = open_study("lastbit-studies/eos-digits-001")  # doctest: +SKIP
        >>> study.to_xarray()["ratio"].max().item()  # doctest: +SKIP
    """

    def _rows(self, data: xr.Dataset) -> xr.Dataset:
        """Return the measurements of the first training, a row per step."""
        return data[[name for name in _BY_STEP if name in data]]

    def to_xarray(self, cell: str | None = None) -> xr.Dataset:
        """Return what was measured in one training, with dimensions `step`, `twin` (the repeat first) and `layer`.

        `loss`, `sharpness`, `limit`, `ratio` and the rest of a `StabilityRecord` by `step`; `distance` and
        `relative_l1` by (`twin`, `step`), the base weights' `norm` by `step`; `layer_ratio` by (`layer_step`, `layer`).

        Args:
            cell: of a sweep, as `result.cells` names them; by default the first.

        Raises:
            LastbitError: no such training, or none is finished.
        """
        name = training_named(cell, [found.name for found in self.result.cells], "cell", self.path, "eos")
        with self._folder() as folder:
            arrays = folder.arrays(name)
        variables = {name: (axes, arrays[name]) for name, axes in _DIMENSIONS.items() if name in arrays}
        coordinates: dict[str, Any] = {name: arrays[name] for name in ("step", "layer", "layer_step") if name in arrays}
        if "distance" in arrays:
            coordinates["twin"] = ["repeat", *(f"twin{index}" for index in range(1, len(arrays["distance"])))]
        return xr.Dataset(variables, coordinates, {"verdict": self.verdict, "command": self.result.command})


def conclude(folder: StudyFolder) -> EosResult:
    """Return the result of the trainings that are in."""
    planned = folder.facts["cells"]
    records = {record.run: record for record in folder.runs() if record.status != RunStatus.CRASHED}
    cells = [
        read_cell(folder, number, facts, records[facts["name"]])
        for number, facts in enumerate(planned)
        if facts["name"] in records
    ]
    found = tuple(replace(cell, verdict_kind=cell_kind(cell)) for cell in cells)
    trends = size_trends(found)
    said = study_verdict(found, trends)
    return EosResult(**head(folder, said, len(found), len(planned), "training"), cells=found, trends=trends)
