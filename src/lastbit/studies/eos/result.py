"""What an edge-of-stability study concludes: each training against its own limit, and what size does to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.eos.cell_result import EosCell, measured, repeat_control, twin_landing
from lastbit.studies.eos.settings import AXES
from lastbit.studies.eos.size_trend import SizeTrend, size_trends
from lastbit.studies.eos.stable_rows import former_stable_rows, stable_rows
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


def _of_first(name: str) -> property:
    def value(result: EosResult) -> Any:
        if not result.cells:
            raise LastbitError(f"{name} is that of the first training, and none is finished")
        return getattr(result.cells[0], name)

    return property(value, doc=f"`{name}` of the first training.")


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

    limit = _of_first("limit")
    steps = _of_first("steps")
    sharpness = _of_first("sharpness")
    limits = _of_first("limits")
    ratios = _of_first("ratios")
    ratio_tail = _of_first("ratio_tail")
    sharpness_tail = _of_first("sharpness_tail")
    entered_at_step = _of_first("entered_at_step")
    stable_lr = _of_first("stable_lr")
    growth_share_above_limit = _of_first("growth_share_above_limit")
    growth = _of_first("growth")
    per_layer = _of_first("per_layer")
    batch_sharpness = _of_first("batch_sharpness")
    converged_fraction = _of_first("converged_fraction")
    control = _of_first("control")
    landing = _of_first("landing")

    def to_json(self) -> dict[str, Any]:
        """Return the content of `result.json`, the headlines of the first training repeated at its top."""
        found = super().to_json()
        return found | {name: found["cells"][0][name] for name in HEADLINES if found["cells"]}


def conclude(folder: StudyFolder) -> EosResult:
    """Return the result of the trainings that are in."""
    planned = folder.facts["cells"]
    records = {record.run: record for record in folder.runs() if record.status != RunStatus.CRASHED}
    found = tuple(
        _cell(folder, number, facts, records[facts["name"]])
        for number, facts in enumerate(planned)
        if facts["name"] in records
    )
    trends = size_trends(found)
    said = study_verdict(found, trends)
    return EosResult(**head(folder, said, len(found), len(planned), "trainings"), cells=found, trends=trends)


def _cell(folder: StudyFolder, number: int, facts: Mapping[str, Any], record: RunRecord) -> EosCell:
    arrays, settings = folder.arrays(record.run), folder.facts["spec"]["settings"]
    former = facts.get("stable")
    stable = stable_rows(arrays) if former is None else former_stable_rows(former)
    control, repeat_distance = repeat_control(arrays, number)
    values = measured(arrays, stable, dtype=settings["dtype"], status=record.status)
    cell = EosCell(
        name=record.run,
        label=facts["label"],
        seed=facts["seed"],
        axes={axis: facts["program"].get(axis) for axis in AXES},
        settings=facts["task_settings"],
        status=str(record.status),
        message=record.message,
        seconds=record.seconds,
        verdict_kind="",
        control=control,
        repeat_distance=repeat_distance,
        landing=twin_landing(arrays, settings.get("perturb", "")),
        **values,
    )
    return replace(cell, verdict_kind=cell_kind(cell))
