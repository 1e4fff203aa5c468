"""What separate runs of one seed show together: one set of twins for each optimizer that stepped in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lastbit.core.status import Role, RunStatus
from lastbit.launch.arrays import has_sketches, read_states
from lastbit.report.formatting import count, step
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.control import Difference, LandedRun, compare_repeat, control_of, landing_of, other_records
from lastbit.studies.frame.kind import DTYPES
from lastbit.studies.trace.sketched import Sketched, sketched
from lastbit.studies.trace.twins_found import TwinsFound, what_they_show

__all__ = ["is_separate", "run_name", "separate_differs", "separate_twins"]

_OF_ELEMENTS = "runs of what lastbit cannot look into keep sketches, which give L2 distances alone"
_OF_TASKS = "only a Task, whose twins lastbit trains in lock step, shows it"

NOT_MEASURED = {
    **dict.fromkeys(("mean_relative_l1", "max_ulp", "share_differing", "cosine", "filters"), _OF_ELEMENTS),
    **dict.fromkeys(("loss_gap", "churn", "tangent"), _OF_TASKS),
}
"""What is not known of such twins, and why."""


def is_separate(cell: Mapping[str, Any]) -> bool:
    """Tell whether the runs of a training in `study.json` were made one by one: nothing was known of it before."""
    return "epochs" not in cell


def run_name(record: RunRecord) -> str:
    """Return what a run is called in its trace: `base`, `repeat`, `twin1`."""
    return f"twin{record.twin}" if record.role == Role.TWIN else str(record.role)


def separate_differs(folder: StudyFolder, base: RunRecord, repeat: RunRecord) -> Difference | None:
    """Return where the exact repeat of a run first differs from it, None where every bit is the same."""
    found = compare_repeat(folder, base, repeat)
    one, two = (folder.arrays(record.run) for record in (base, repeat))
    if found is None and _trained(one) != _trained(two):
        return Difference(cell=base.cell, step=1, what="what the optimizers train")
    return found


def _trained(arrays: Mapping[str, np.ndarray]) -> dict[tuple[int, int], Any]:
    """Return the tensors of every optimizer of a run."""
    return {place: one.sketch.key for place, one in read_states(arrays).items()}


def separate_twins(
    folder: StudyFolder, cell: Mapping[str, Any], records: Sequence[RunRecord], *, perturb: str, alone: bool
) -> list[tuple[TwinsFound, dict[str, np.ndarray]]]:
    """Return what the runs of one seed show, with the arrays behind it; nothing until its controls are in.

    Args:
        folder: the study, a trace or an audit.
        cell: the training, as `study.json` describes it.
        records: the runs of the study.
        perturb: how the twins were perturbed.
        alone: whether the study has no other seed.
    """
    mine = [r for r in records if r.cell == cell["number"]]
    usable = {run_name(r): r for r in mine if r.status != RunStatus.CRASHED}
    if not {"base", "repeat"} <= usable.keys():
        return []
    arrays = {name: folder.arrays(record.run) for name, record in usable.items()}
    base = arrays.pop("base")
    if not has_sketches(base):
        return []
    control = control_of([separate_differs(folder, usable["base"], usable["repeat"])])
    twins = sorted((name for name in arrays if name != "repeat"), key=lambda name: usable[name].twin)
    if control.bitwise_identical and not twins:
        return []
    apart = {name: other_records(arrays[name], base) is not None for name in twins}
    facts: dict[str, Any] = {
        "separate": True,
        "seed": cell["seed"],
        "control": control,
        "perturbation": landing_of(perturb, [LandedRun(run=usable[one].run, landed=apart[one]) for one in twins]),
        "statuses": {record.run: str(record.status) for record in mine},
    }
    parts = sketched(base, {name: arrays[name] for name in ("repeat", *twins)})
    if not control.bitwise_identical:
        # Optimizer by optimizer there is nothing to say: the last bit explains none of it.
        largest = max((float(np.nanmax(part.arrays["relative_l2"][0], initial=0.0)) for part in parts), default=None)
        one = {**facts, "name": cell["name"], "control_max_difference": largest}
        return [(TwinsFound(verdict_kind="not_reproducible", **one), {})]
    found = []
    for part in parts:
        names = [cell["name"]] * (not alone or not part.name) + [part.name] * bool(part.name)
        one = {**facts, "name": "-".join(names), **_of_part(part)}
        found.append((what_they_show(one, part.arrays, DTYPES.get(part.format, torch.float32)), part.arrays))
    return found


def _of_part(part: Sketched) -> dict[str, Any]:
    reached = int(part.arrays["step"][-1])
    low, high = part.arrays["interval"].tolist()
    missing = dict(NOT_MEASURED)
    missing |= dict.fromkeys(part.left_out, "it did not train the same tensors as the base run")
    finite = bool(np.isfinite(part.arrays["all_norm"][-1]) and np.isfinite(part.arrays["all_l2"][:, -1]).all())
    if finite and reached < part.steps:
        later = f"steps {count(reached + 1)} to {count(part.steps)}"
        missing[later] = f"not every run recorded one after {step(reached)}"
    return {
        "optimizer": part.optimizer,
        "dtype": part.format,
        "steps": part.steps,
        "reached": reached,
        "recorded_steps": len(part.arrays["step"]),
        "control_max_difference": float(np.nanmax(part.arrays["relative_l2"][0], initial=0.0)),
        "distance_interval": (low, high),
        "not_measured": missing,
    }
