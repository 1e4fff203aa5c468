"""What an edge-of-stability study concludes: each training against its own limit, and what size does to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.store import StudyFolder
from lastbit.studies.eos.cell_result import EosCell, read_cell
from lastbit.studies.eos.size_trend import SizeTrend, size_trends
from lastbit.studies.eos.verdict import cell_kind, study_verdict
from lastbit.studies.frame.result import Result, head

__all__ = ["HEADLINES", "EosResult", "conclude"]

HEADLINES = (
    "limit",
    "steps",
    "sharpness",
    "limits",
    "ratios",
    "ratio_tail",
    "sharpness_tail",
    "entered_at_step",
    "stable_lr",
    "growth_share_above_limit",
    "growth",
    "per_layer",
    "batch_sharpness",
    "converged_fraction",
    "control",
    "landing",
)
"""What the JSON repeats at its top of the first training: the whole answer where there is no sweep."""


@dataclass(frozen=True, kw_only=True)
class EosResult(Result):
    """What an edge-of-stability study concluded.

    Every field of the first training that `HEADLINES` names is an attribute of the result too.

    Example:
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
    return EosResult(**head(folder, said, len(found), len(planned), "trainings"), cells=found, trends=trends)
