"""Distances between any two traced runs, of one study or two, from their sketches alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from lastbit.core.errors import LastbitError, choose
from lastbit.dynamics import Sketch, distance_interval, sketch_differs, sketch_distance
from lastbit.store import StudyFolder
from lastbit.studies.frame.former import present_facts
from lastbit.studies.trace.result import finished_cells

__all__ = ["compare_sketches"]

Array = np.ndarray[Any, Any]


def compare_sketches(
    first: str | Path,
    second: str | Path,
    *,
    first_run: str = "base",
    second_run: str = "base",
    first_member: str | None = None,
    second_member: str | None = None,
) -> xr.Dataset:
    """Estimate the L2 distance between the weights of two runs at every step that both recorded.

    The studies may come from other processes or machines and be of other length; they must train the same tensors. The
    true distance lies between `low` and `high` with probability 95% (`dynamics.sketch`: a chi-squared interval with 64
    degrees of freedom, about -15% and +21%).

    Args:
        first: folder of a trace.
        second: folder of another, or of the same.
        first_run: `"base"`, `"repeat"`, `"twin1"`, ... of the first study.
        second_run: likewise of the second.
        first_member: of a sweep; by default its first.
        second_member: likewise.

    Returns:
        `distance`, `low`, `high` and `differs` (whether any bit of any element is another) by (`step`, `tensor`), and
        `all_distance` (`step`) over all weights.

    Raises:
        LastbitError: no such study, member or run; other tensors; or no step in common.

    Example:
        >>> compare_sketches("studies/a", "studies/b")["all_distance"]  # doctest: +SKIP
    """
    one, steps_one = _read(Path(first), first_run, first_member)
    two, steps_two = _read(Path(second), second_run, second_member)
    shared, at_one, at_two = np.intersect1d(steps_one, steps_two, return_indices=True)
    if not len(shared):
        raise LastbitError(
            f"{first} and {second} recorded no step in common ({steps_one[0]} … {steps_one[-1]} and {steps_two[0]} … "
            f"{steps_two[-1]}): trace both from the same step, with the same --every"
        )
    a, b = _at(one, at_one), _at(two, at_two)
    distance = sketch_distance(a, b).numpy()
    low, high = distance_interval(a.key[1])
    dims = ("step", "tensor")
    return xr.Dataset(
        {
            "distance": (dims, distance),
            "low": (dims, low * distance),
            "high": (dims, high * distance),
            "differs": (dims, sketch_differs(a, b).numpy()),
            "all_distance": ("step", np.linalg.norm(distance, axis=1)),
        },
        {"step": shared, "tensor": list(a.names)},
        {"first": f"{first} {first_run}", "second": f"{second} {second_run}"},
    )


def _read(path: Path, run: str, member: str | None) -> tuple[Sketch, Array]:
    with StudyFolder.read(path) as folder:
        if folder.facts.get("kind") != "trace":
            raise LastbitError(f"{path} is a study of kind {folder.facts.get('kind')!r}: only traces keep sketches")
        folder.facts = present_facts(folder.facts)
        names = [cell["name"] for cell in finished_cells(folder)]
        if not names:
            raise LastbitError(f"{path} holds no finished training: continue it with lastbit trace --resume {path}")
        chosen = choose(member, names, "member") if member is not None else names[0]
        prefix = f"{chosen}-"
        runs = [r.run.removeprefix(prefix) for r in folder.runs() if r.run.startswith(prefix)]
        arrays = folder.arrays(prefix + choose(run, runs, "run"))
    seed, width = (int(value) for value in arrays["seed_width"])
    tensors = tuple((str(n), int(s)) for n, s in zip(arrays["tensor"], arrays["size"], strict=True))
    values, residuals, prints = (torch.from_numpy(arrays[name]) for name in ("values", "residuals", "fingerprints"))
    return Sketch(values, residuals, prints, (seed, width, tensors)), arrays["step"]


def _at(sketch: Sketch, rows: Array) -> Sketch:
    where = torch.from_numpy(rows)
    return Sketch(sketch.values[where], sketch.residuals[where], sketch.fingerprints[where], sketch.key)
