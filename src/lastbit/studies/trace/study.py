"""A trace as a Python object: its verdict, its tables, its arrays with named dimensions, distances between its runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import xarray as xr

from lastbit.core.errors import LastbitError, choose
from lastbit.dynamics.divergence import MEASURES
from lastbit.dynamics.sketch import Sketch, sketch_differs, sketch_distance
from lastbit.dynamics.sketch_interval import distance_interval
from lastbit.store import StudyFolder
from lastbit.studies.frame.former import present_facts
from lastbit.studies.frame.study import Study
from lastbit.studies.trace.growth import twin_names
from lastbit.studies.trace.result import TraceResult, member_arrays
from lastbit.studies.trace.separate import is_separate
from lastbit.studies.trace.sketch_file import read_sketch_file

__all__ = ["TraceStudy", "compare_sketches"]

_OWN_AXES = ("step", "probe_step", "kick_seed", "kick_size", "kick_step", "kick_ratio_step", "tangent_step")

_VARIABLES = {
    ("twin", "step", "tensor"): (*MEASURES, "differs"),
    ("twin", "step"): (*(f"all_{name}" for name in MEASURES), "loss_gap", "log_removed"),
    ("step", "tensor"): ("norm",),
    ("step",): ("all_norm", "rounding_bound"),
    ("twin", "tensor"): ("first_step",),
    ("twin", "probe_step"): ("churn",),
    ("step", "filter"): ("filter_l2", "filter_norm"),
    ("kick_seed", "kick_size", "kick_step"): ("kick_relative",),
    ("kick_seed", "kick_size", "kick_step", "tensor"): ("kick_l2",),
    ("kick_seed", "kick_step"): ("kick_tangent",),
    ("kick_seed", "kick_ratio_step"): ("kick_ratio",),
    ("tangent_step",): ("tangent_log_growth",),
    ("tangent_step", "tensor"): ("tangent_split",),
}
_COORDINATES = {
    ("twin",): ("twin", "label"),
    ("tensor",): ("tensor", "size"),
    ("filter",): ("filter_tensor", "filter_index"),
    **{(axis,): (axis,) for axis in _OWN_AXES},
}


class TraceStudy(Study[TraceResult]):
    """A trace on disk.

    Example:
        >>> from lastbit import open_study
        >>> study = open_study("lastbit-studies/trace-digits-001")  # doctest: +SKIP
        >>> study.to_xarray()["relative_l2"].sel(twin="twin1").max("tensor")  # doctest: +SKIP
    """

    def to_xarray(self, member: str | None = None) -> xr.Dataset:
        """Return what was measured, with dimensions `twin` (the exact repeat first), `step` and `tensor`.

        Per twin, step and tensor the measures of `dynamics.Divergence`; `all_<measure>` (`twin`, `step`) over all
        weights; `loss_gap` (`twin`, `step`); `norm` (`step`, `tensor`) and `all_norm` (`step`) of the base;
        `rounding_bound` (`step`); `log_removed` (`twin`, `step`) by renormalisation; `first_step` (`twin`, `tensor`),
        -1 where nothing ever differed; `churn` (`twin`, `probe_step`); `filter_l2` and `filter_norm` (`step`,
        `filter`), with the filter's `filter_tensor` and `filter_index`; with `--tangent`, `tangent_log_growth`
        (`tangent_step`) and `tangent_split` (`tangent_step`, `tensor`; NaN where the optimizer does not hold a tensor);
        with `--mechanism`, `kick_relative` (`kick_seed`, `kick_size`, `kick_step`), `kick_l2`, by `tensor` too, and
        `kick_ratio` (`kick_seed`, `kick_ratio_step`); with both, `kick_tangent` (`kick_seed`, `kick_step`).

        Of a function or command only what sketches of the weights give is there: `l2`, `relative_l2`, `norm`, those
        over all weights, `first_step`, and `differs` (`twin`, `step`, `tensor`), whether any bit does. The attribute
        `distance_interval` has the factors that take a distance to the ends of its 95% interval.

        Args:
            member: of a sweep, or an optimizer, as `result.members` names them; by default the first.

        Raises:
            LastbitError: no such member.
        """
        with self._folder() as folder:
            name, arrays = member_arrays(folder, member)
            command = folder.facts["command"]
        if "tangent_step" in arrays:
            split = np.full((len(arrays["tangent_step"]), len(arrays["tensor"])), np.nan, dtype=np.float32)
            split[:, np.isin(arrays["tensor"], arrays["tangent_tensor"])] = arrays["tangent_split"]
            arrays["tangent_split"] = split
        arrays["twin"] = np.array(twin_names(arrays))
        attributes = {"verdict": self.verdict, "command": command, "member": name}
        if "interval" in arrays:
            attributes["distance_interval"] = arrays["interval"]
        variables, coordinates = (
            {key: (dims, arrays[key]) for dims, keys in table.items() for key in keys if key in arrays}
            for table in (_VARIABLES, _COORDINATES)
        )
        return xr.Dataset(variables, coordinates, attributes)

    def _rows(self, data: xr.Dataset) -> xr.Dataset:
        return data[[name for name in data.data_vars if data[name].dims == ("twin", "step")]]


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
        first: folder of a trace, or a file that `TwinCallback` of `lastbit.integrations` left.
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
        >>> from lastbit import compare_sketches
        >>> compare_sketches("studies/a", "studies/b")["all_distance"]  # doctest: +SKIP
    """
    one, two = _read(Path(first), first_run, first_member), _read(Path(second), second_run, second_member)
    steps_one, steps_two = one["step"], two["step"]
    shared, at_one, at_two = np.intersect1d(steps_one, steps_two, return_indices=True)
    if not len(shared):
        raise LastbitError(
            f"{first} and {second} recorded no step in common ({steps_one[0]} … {steps_one[-1]} and {steps_two[0]} … "
            f"{steps_two[-1]}): trace both from the same step, with the same --every"
        )
    a, b = _sketch(one, at_one), _sketch(two, at_two)
    if a.key[0] != b.key[0]:
        older = first if a.key[0] < b.key[0] else second
        raise LastbitError(f"{older} is of an earlier lastbit, whose sketches another hash made: trace it again")
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
        {"step": shared, "tensor": one["tensor"]},
        {"first": f"{first} {first_run}", "second": f"{second} {second_run}"},
    )


def _read(path: Path, run: str, member: str | None) -> dict[str, np.ndarray]:
    if path.is_file():
        if run != "base" or member is not None:
            raise LastbitError(f"{path} is a file of one run: leave out {run if member is None else member!r}")
        return read_sketch_file(path)
    with StudyFolder.read(path) as folder:
        if folder.facts.get("kind") != "trace":
            raise LastbitError(f"{path} is a study of kind {folder.facts.get('kind')!r}: only traces keep sketches")
        folder.facts = present_facts(folder.facts)
        if any(map(is_separate, folder.facts["cells"])):
            raise LastbitError(f"{path} traces a function or command: only the sketches of Tasks are compared by step")
        prefix = f"{member_arrays(folder, member)[0]}-"
        runs = [r.run.removeprefix(prefix) for r in folder.runs() if r.run.startswith(prefix)]
        return folder.arrays(prefix + choose(run, runs, "run"))


def _sketch(arrays: dict[str, np.ndarray], rows: np.ndarray) -> Sketch:
    parts = {name: torch.from_numpy(arrays[name][rows]) for name in ("values", "residuals", "fingerprints")}
    seed, width = arrays["seed_width"].tolist()
    tensors = tuple(zip(arrays["tensor"].tolist(), arrays["size"].tolist(), strict=True))
    return Sketch(**parts, key=(seed, width, tensors))
