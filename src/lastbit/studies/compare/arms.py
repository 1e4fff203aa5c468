"""One arm of a comparison: the final values of its runs by seed, from a study, a table, or what Python hands over."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from lastbit.core.errors import LastbitError, choose
from lastbit.core.status import Role, RunStatus
from lastbit.report.formatting import plural
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.controls import compare_repeats
from lastbit.studies.audit.metrics import metrics_of
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.compare.table import read_table
from lastbit.studies.frame.folders import arms_of
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

_SHOWN = 6
"""Runs left out that are named."""


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
        lost: how many those are.
        test_size: examples of its test set; None where nothing is known of it.
        test_targets: digest of what its test set asks for; empty where nothing is known of it.
        plain: whether it is numbers alone, of which nobody said a unit.
        silent: why its runs of one seed do not differ in the last bit alone; empty where they do, or nobody knows.
        remark: what else must be known of it.
    """

    name: str
    metric: str
    unit: str
    higher_is_better: bool | None
    values: tuple[float, ...]
    seeds: tuple[str, ...] | None
    left_out: str = ""
    lost: int = 0
    test_size: int | None = None
    test_targets: str = ""
    plain: bool = False
    silent: str = ""
    remark: str = ""

    @property
    def seed_of(self) -> tuple[str, ...]:
        """The seed of each run; its number where nobody named one."""
        return self.seeds if self.seeds is not None else tuple(str(number) for number in range(len(self.values)))

    @property
    def by_seed(self) -> dict[str, list[float]]:
        """The values of each seed's runs, in the order in which the seeds came."""
        found: dict[str, list[float]] = defaultdict(list)
        for seed, value in zip(self.seed_of, self.values, strict=True):
            found[seed].append(value)
        return found

    @property
    def means(self) -> list[float]:
        """The mean of each seed's runs."""
        return [float(np.mean(values)) for values in self.by_seed.values()]


_ARMS = TypeAdapter(tuple[ArmRuns, ...])


def refuse_twice(arms: Sequence[Any]) -> None:
    """Refuse a study or file that is named twice, or a study beside a copy of it.

    Raises:
        LastbitError: one is.
    """
    paths = [Path(arm) for arm in arms if isinstance(arm, str | Path)]
    for place, path in enumerate(paths):
        for other in paths[:place]:
            if path.resolve() == other.resolve():
                raise LastbitError(f"{path} is named twice: a study says nothing about itself; name another")
            if _is_copy(path, other):
                raise LastbitError(
                    f"{path} holds the very runs of {other}: a study says nothing about itself; name another"
                )


def _is_copy(path: Path, other: Path) -> bool:
    """Return whether two studies have the same runs to the nanosecond that they took."""
    if path.is_dir() and other.is_dir():
        with StudyFolder.read(path) as one, StudyFolder.read(other) as two:
            runs = [[(run.run, run.seconds) for run in folder.runs()] for folder in (one, two)]
        return bool(runs[0]) and runs[0] == runs[1]
    return False


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
            settings = CompareSettings(metric=() if metric is None else (metric,))
            [arm] = arms_of_study(folder, [path.resolve().name], settings)
            if not arm.values:
                raise LastbitError(f"{path} has no run that counts: {arm.left_out or 'none is in'}")
            silent = _silent(folder)
            said = (_state(folder), silent, arm.remark)
            return replace(arm, remark="; ".join(one for one in said if one), silent=silent)
    if not path.exists():
        raise LastbitError(f"there is no {path}: name a study's folder or a CSV file, or programs by --a and --b")
    table = read_table(path, metric)
    arm = arm_of_numbers(table.values, table.seeds, name=path.stem)
    return replace(arm, metric=table.metric, remark=_repeated(arm))


def _repeated(arm: ArmRuns) -> str:
    """Return what is made of a seed that stands in several rows."""
    seed = next((seed for seed, values in arm.by_seed.items() if len(values) > 1), None)
    return "" if seed is None else f"rows of one seed, as {seed}, are taken for runs that differ by the last bit"


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
    if len(numbers) > 1 and min(numbers) == max(numbers):
        raise LastbitError(
            f"all {plural(len(numbers), 'value')} of {name} are {numbers[0]}: compare a metric that varies over runs"
        )
    named = None if seeds is None else tuple(map(str, seeds))
    if named is not None and len(named) != len(numbers):
        raise LastbitError(
            f"{name} has {plural(len(numbers), 'value')} and {plural(len(named), 'seed')}: give one each"
        )
    return ArmRuns(name=name, metric="", unit="", higher_is_better=None, values=numbers, seeds=named, plain=True)


def arms_of_study(
    folder: StudyFolder, names: Sequence[str], settings: CompareSettings, *, look: bool = False
) -> list[ArmRuns]:
    """Return the arms of a study's own runs; each exact repeat is left out, for it says nothing new.

    Args:
        folder: an audit, which has one arm, or a comparison.
        names: of the arms.
        settings: say which metric, by default the first, and which way is better, by default as the task says.
        look: whether only the seeds count up to which every run of every arm has ended, so that what is said does not
            depend on which worker was faster.

    Raises:
        LastbitError: it has no such metric.
    """
    cells = folder.facts.get("cells", ())
    records: Sequence[RunRecord] = [one for one in folder.runs() if one.role != Role.REPEAT]
    if look:
        records = _whole(records, cells, settings.perturbations)
    return [
        _arm(name, [one for one in records if cells[one.cell].get("arm", 0) == arm], arm, folder.facts, settings)
        for arm, name in enumerate(names)
    ]


def _whole(records: Sequence[RunRecord], cells: Sequence[Mapping[str, Any]], perturbations: int) -> Sequence[RunRecord]:
    """Return the runs of the seeds before the first of which a run is missing, in the order of seeds."""
    ended = Counter(one.cell for one in records)
    missing = [cell["seed"] for cell in cells if ended[cell["number"]] < perturbations]
    least = min(missing, default=math.inf)
    return sorted((one for one in records if cells[one.cell]["seed"] < least), key=lambda one: one.cell)


def _arm(
    name: str, records: Sequence[RunRecord], arm: int, facts: Mapping[str, Any], settings: CompareSettings
) -> ArmRuns:
    cells = facts.get("cells", ())
    task = facts["tasks"][arm] if "tasks" in facts else facts["task"]
    known = metrics_of({"task": task, "cells": [one for one in cells if one.get("arm", 0) == arm]})
    metric = known[0]
    # The one metric of a command that was trained here is the one asked for, under a name of its own.
    if settings.metric and records and (facts.get("kind") == "audit" or "command" not in _spec(facts, arm)):
        by_name = {one["name"]: one for one in known}
        metric = by_name[choose(settings.metric[0], by_name, "metric")]
    higher = metric["higher_is_better"]
    if settings.better:
        higher = settings.better[0].rpartition("=")[2] == "higher"
    counted = [
        one for one in records if one.status == RunStatus.OK and math.isfinite(one.final.get(metric["name"], math.nan))
    ]
    others = [one for one in records if one not in counted]
    shown = [
        f"{one.run} ({one.status if one.status != RunStatus.OK else 'no finite value'})" for one in others[:_SHOWN]
    ]
    return ArmRuns(
        name=name,
        metric=metric["name"],
        unit=metric["unit"],
        higher_is_better=higher,
        values=tuple(one.final[metric["name"]] for one in counted),
        seeds=tuple(str(cells[one.cell].get("seed", one.cell)) for one in counted),
        left_out=", ".join([*shown, *["…"] * (len(others) > _SHOWN)]),
        lost=len(others),
        test_size=task.get("test_size"),
        test_targets=task.get("test_targets", ""),
        remark=_chosen(_spec(facts, arm)),
    )


def _spec(facts: Mapping[str, Any], arm: int) -> Mapping[str, Any]:
    return arms_of(facts["spec"])[arm]


def _chosen(spec: Mapping[str, Any]) -> str:
    """Return what is said of a command whose value is the best of several in its run; "" of others."""
    of = spec.get("command", {}).get("metric_of") or ()
    if "best" not in of:
        return ""
    return "each value is the best of several checkpoints (--metric-of best), to which choosing adds: take the last"


def _state(folder: StudyFolder) -> str:
    """Return what is said of an audit whose runs are not all in; "" of others."""
    asked = folder.facts["spec"]["settings"]
    planned, there = asked["seeds"] * (asked["perturbations"] + 1), len(folder.runs())
    return "" if there >= planned else f"unfinished: {there} of {plural(planned, 'run')} are in"


def _silent(folder: StudyFolder) -> str:
    control = compare_repeats(folder, folder.runs())
    return (
        ""
        if control.first_difference is None
        else "an exact repeat differed, so that runs of one seed differ in more than the last bit"
    )


def right_on_examples(folder: StudyFolder, arm: int = 0) -> dict[str, np.ndarray]:
    """Return, by seed, whether the network of each unperturbed run is right on each example; of what is kept.

    Args:
        folder: an audit or a comparison.
        arm: place of the arm in it.
    """
    facts = present_facts(folder.facts)
    cells, size = facts.get("cells", ()), facts["task"].get("test_size")
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
