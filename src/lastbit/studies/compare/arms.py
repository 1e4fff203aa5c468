"""One arm of a comparison: the final values of its runs by seed, from a study, a table, or what Python hands over."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from lastbit.core.errors import LastbitError, choose
from lastbit.core.status import Role, RunStatus
from lastbit.report.formatting import plural
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.metrics import metrics_of
from lastbit.studies.compare.table import read_table
from lastbit.studies.frame.former import present_facts

__all__ = [
    "ArmRuns",
    "arm_of_numbers",
    "arms_of_study",
    "kept",
    "paired_examples",
    "read_arm",
    "refuse_twice",
    "right_on_examples",
    "stored_arms",
]


@dataclass(frozen=True, kw_only=True)
class ArmRuns:
    """The runs of one arm.

    Attributes:
        name: what it is called.
        metric: name of what is compared; empty where nobody said.
        unit: of every value.
        higher_is_better: None where nobody said.
        values: the final value of each run that counts.
        seeds: the seed of each, as text; None where nobody said, and each run stands for a seed of its own.
        left_out: which runs do not count, and why.
        test_size: examples of its test set; None where nothing is known of it.
    """

    name: str
    metric: str
    unit: str
    higher_is_better: bool | None
    values: tuple[float, ...]
    seeds: tuple[str, ...] | None
    left_out: str = ""
    test_size: int | None = None


_ARMS = TypeAdapter(tuple[ArmRuns, ...])


def refuse_twice(arms: Sequence[Any]) -> None:
    """Refuse a study or file that is named twice.

    Raises:
        LastbitError: one is.
    """
    paths = [Path(arm) for arm in arms if isinstance(arm, str | Path)]
    for place, path in enumerate(paths):
        if any(path.resolve() == other.resolve() for other in paths[:place]):
            raise LastbitError(f"{path} is named twice: a study says nothing about itself; name another")


def read_arm(path: Path, metric: str | None) -> ArmRuns:
    """Return the runs of a study's folder or of a CSV file.

    Args:
        path: of the folder or file.
        metric: which of a study's metrics, by default the first.

    Raises:
        LastbitError: it is neither, cannot be read, or has no run that counts.
    """
    if path.is_dir():
        with StudyFolder.read(path) as folder:
            folder.facts = present_facts(folder.facts)
            if folder.facts.get("kind") != "audit":
                raise LastbitError(
                    f"{path} is a study of kind {folder.facts.get('kind')!r}: a comparison reads audits and CSV files"
                )
            [arm] = arms_of_study(folder, [path.name], metric)
            return arm
    if not path.exists():
        raise LastbitError(f"there is no {path}: name a study's folder or a CSV file, or programs by --a and --b")
    values, seeds = read_table(path)
    return arm_of_numbers(values, seeds, name=path.stem)


def arm_of_numbers(
    values: Iterable[Any] | Mapping[Any, Any],
    seeds: Iterable[Any] | None = None,
    *,
    name: str,
) -> ArmRuns:
    """Return an arm of plain numbers.

    Args:
        values: the final value of each run, or by seed.
        seeds: the seed of each; None where each is a seed of its own.
        name: of the arm.

    Raises:
        LastbitError: there are none, or one is no finite number.
    """
    if isinstance(values, Mapping):
        seeds, values = list(values.keys()), list(values.values())
    try:
        numbers = tuple(map(float, values))
    except (TypeError, ValueError):
        raise LastbitError(f"{name} must be a sequence of numbers, or numbers by seed") from None
    if not numbers:
        raise LastbitError(f"{name} has no runs: give the final value of each")
    if not all(map(math.isfinite, numbers)):
        raise LastbitError(f"{name} holds a value that is no finite number: leave that run out")
    named = None if seeds is None else tuple(map(str, seeds))
    if named is not None and len(named) != len(numbers):
        raise LastbitError(
            f"{name} has {plural(len(numbers), 'value')} and {plural(len(named), 'seed')}: give one each"
        )
    return ArmRuns(name=name, metric="", unit="", higher_is_better=None, values=numbers, seeds=named)


def arms_of_study(folder: StudyFolder, names: Sequence[str], metric: str | None = None) -> list[ArmRuns]:
    """Return the arms of a study's own runs; each exact repeat is left out, for it says nothing new.

    Args:
        folder: an audit, which has one arm, or a comparison.
        names: of the arms.
        metric: which metric, by default the first.

    Raises:
        LastbitError: it has no such metric, or no run of an arm counts.
    """
    cells = folder.facts.get("cells", ())
    known = metrics_of(folder.facts)
    by_name = {one["name"]: one for one in known}
    told = by_name[choose(metric, by_name, "metric")] if metric is not None else known[0]
    records = [one for one in folder.runs() if one.role != Role.REPEAT]
    return [
        _arm(name, [one for one in records if cells[one.cell].get("arm", 0) == arm], cells, told, folder.facts["task"])
        for arm, name in enumerate(names)
    ]


def _arm(
    name: str,
    records: Sequence[RunRecord],
    cells: Sequence[Mapping[str, Any]],
    metric: Mapping[str, Any],
    task: Mapping[str, Any],
) -> ArmRuns:
    counted = [
        one for one in records if one.status == RunStatus.OK and math.isfinite(one.final.get(metric["name"], math.nan))
    ]
    others = [f"{one.run} ({one.status})" for one in records if one not in counted]
    return ArmRuns(
        name=name,
        metric=metric["name"],
        unit=metric["unit"],
        higher_is_better=metric["higher_is_better"],
        values=tuple(one.final[metric["name"]] for one in counted),
        seeds=tuple(str(cells[one.cell].get("seed", one.cell)) for one in counted),
        left_out=", ".join(others),
        test_size=task.get("test_size"),
    )


def right_on_examples(folder: StudyFolder, arm: int = 0) -> dict[str, np.ndarray]:
    """Return, by seed, whether the network of each unperturbed run is right on each example; of what is kept.

    Args:
        folder: an audit or a comparison.
        arm: place of the arm in it.
    """
    cells, size = folder.facts.get("cells", ()), folder.facts["task"].get("test_size")
    found = {}
    for record in folder.runs() if size is not None else ():
        cell = cells[record.cell]
        if record.role == Role.BASE and record.status == RunStatus.OK and cell.get("arm", 0) == arm:
            scores = folder.arrays(record.run).get("per_example")
            if scores is not None and scores.dtype == np.uint8:
                found[str(cell.get("seed", record.cell))] = np.unpackbits(scores, count=size)
    return found


def paired_examples(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> list[list[int]] | None:
    """Return whether a network of each arm is right on each example, of the first seed that both have."""
    seed = next((seed for seed in one if seed in other and len(one[seed]) == len(other[seed])), None)
    return None if seed is None else [one[seed].tolist(), other[seed].tolist()]


def stored_arms(facts: Mapping[str, Any]) -> list[ArmRuns]:
    """Return the arms that a comparison of earlier results keeps."""
    return list(_ARMS.validate_python(facts["arms"]))


def kept(arms: Sequence[ArmRuns]) -> list[dict[str, Any]]:
    """Return what `study.json` keeps of arms that were read."""
    return [asdict(arm) for arm in arms]
