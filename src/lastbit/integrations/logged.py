"""What of a study or a monitor a logger is sent: names, values and steps, the same for every logger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from lastbit.core.status import RunStatus

if TYPE_CHECKING:
    from lastbit.curvature import StabilityRecord
    from lastbit.store import RunRecord
    from lastbit.studies.frame.study import Study

__all__ = ["Logged", "LoggedRun", "logged", "numbers_of_record"]

_DEEP, _ROWS = 3, 16
"""Names in the path of a number, and rows of a table, at most: the rest of a result is in its JSON and report."""

_ASIDE = ("schema", "task", "spec", "environment", "execution", "runs", "damaged")
"""Fields of a result that hold no result, or the runs, which are logged one by one."""


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """One run of a study.

    Attributes:
        name: of the run, unique in the study and usable as a file name.
        ok: whether it ended well.
        settings: which run it was and how it ended.
        series: each metric by step, where it is a finite number.
        numbers: `result/METRIC` of the network that is the run's result, and `result/seconds`.
        selected: the step of that network; 0 where no metric was taken.
    """

    name: str
    ok: bool
    settings: Mapping[str, Any]
    series: Mapping[str, tuple[tuple[int, float], ...]]
    numbers: Mapping[str, float]
    selected: int


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A study, as far as it is.

    Attributes:
        name: of its folder.
        kind: of study.
        verdict: the answer, one sentence.
        verdict_kind: the answer, one word.
        advice: what to do about it.
        finished: whether every run is in.
        command: what repeats the study.
        settings: those of the task, and of the study.
        numbers: `result/PATH`, for every number of the result by its path in the JSON; an estimate has its ends beside
            it, `result/PATH.low` and `result/PATH.high`.
        runs: those that can be read.
    """

    name: str
    kind: str
    verdict: str
    verdict_kind: str
    advice: str
    finished: bool
    command: str
    settings: Mapping[str, Any]
    numbers: Mapping[str, float]
    runs: tuple[LoggedRun, ...]

    @property
    def values(self) -> int:
        """How many numbers there are in all."""
        each = (len(run.numbers) + sum(map(len, run.series.values())) for run in self.runs)
        return len(self.numbers) + sum(each)


def logged(study: Study[Any]) -> Logged:
    """Return what is logged of a study.

    Raises:
        LastbitError: the study is damaged.
    """
    from lastbit.studies.frame.condition import numbers_in

    result = study.result
    with study.opened() as folder:
        cells = {number: dict(cell) for number, cell in enumerate(folder.facts.get("cells", ()))}
        runs = tuple(_run(record, cells.get(record.cell, {})) for record in folder.runs())
        spec, task = folder.facts["spec"], folder.facts["task"]
    told = {name: part for name, part in study.to_json().items() if name not in _ASIDE}
    return Logged(
        name=study.path.resolve().name,
        kind=result.kind,
        verdict=result.verdict,
        verdict_kind=result.verdict_kind,
        advice=result.advice,
        finished=result.finished,
        command=result.command,
        settings={"task": task["name"], **task.get("settings", {}), **spec.get("settings", {})},
        numbers={f"result/{path}": value for path, value in numbers_in(told, deep=_DEEP, rows=_ROWS)},
        runs=runs,
    )


def _run(record: RunRecord, cell: Mapping[str, Any]) -> LoggedRun:
    series = {
        name: tuple((step, value) for step, value in zip(record.steps, values, strict=True) if math.isfinite(value))
        for name, values in record.metrics.items()
    }
    settings = {
        "role": str(record.role),
        "cell": record.cell,
        "twin": record.twin,
        "label": record.label,
        "status": str(record.status),
        "message": record.message,
        "seed": cell.get("seed", 0),
        **cell.get("program", {}),
    }
    found = {**record.final, "seconds": record.seconds}
    last = record.steps[-1] if record.steps else 0
    return LoggedRun(
        name=record.run,
        ok=record.status == RunStatus.OK,
        settings=settings,
        series={name: points for name, points in series.items() if points},
        numbers={f"result/{name}": value for name, value in found.items() if math.isfinite(value)},
        selected=last if record.selected is None else record.selected,
    )


def numbers_of_record(record: StabilityRecord) -> dict[str, float]:
    """Return the finite numbers of a monitor's measurement by their names there, `lastbit/` before each.

    `lastbit/diverged` is 1 where weights or loss are not finite, which leaves the others without a value.

    Example:
        >>> from lastbit.curvature import StabilityRecord
        >>> numbers_of_record(StabilityRecord(7, RunStatus.OK, ratio=0.5, lrs=(0.1,)))["lastbit/lrs/0"]
        0.1
    """
    found: dict[str, float] = {"diverged": record.status != RunStatus.OK}
    for one in fields(record):
        value = getattr(record, one.name)
        if one.name in ("step", "status"):
            continue
        if isinstance(value, Mapping):
            found |= {f"{one.name}/{name}": part for name, part in value.items()}
        elif isinstance(value, tuple):
            found |= {f"{one.name}/{number}": part for number, part in enumerate(value)}
        else:
            found[one.name] = value
    return {f"lastbit/{name}": float(value) for name, value in found.items() if math.isfinite(value)}
