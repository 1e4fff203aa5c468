"""A trace as a Python object: its verdict, its tables, its arrays with named dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from lastbit.core.errors import LastbitError, choose
from lastbit.studies.frame.study import Study
from lastbit.studies.trace.result import TraceResult, finished_cells

__all__ = ["TraceStudy"]

_TWIN_STEP_TENSOR = ("mean_relative_l1", "l2", "relative_l2", "max_ulp", "share_differing", "cosine")


class TraceStudy(Study[TraceResult]):
    """A trace on disk.

    Example:
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
        (`tangent_step`) and `tangent_split` (`tangent_step`, `tensor`; NaN where the optimizer does not hold a tensor).

        Args:
            member: of a sweep, as `result.members` names them; by default the first.

        Raises:
            LastbitError: no such member.
        """
        with self._folder() as folder:
            names = [cell["name"] for cell in finished_cells(folder)]
            if not names:
                raise LastbitError(
                    f"{self.path} has no finished training: continue it with lastbit trace --resume {self.path}"
                )
            name = choose(member, names, "member") if member is not None else names[0]
            arrays = folder.arrays(name)
            command = folder.facts["command"]
        variables: dict[str, Any] = {}
        for key in _TWIN_STEP_TENSOR:
            variables[key] = (("twin", "step", "tensor"), arrays[key])
            variables[f"all_{key}"] = (("twin", "step"), arrays[f"all_{key}"])
        for key in ("loss_gap", "log_removed"):
            variables[key] = (("twin", "step"), arrays[key])
        variables |= {
            "norm": (("step", "tensor"), arrays["norm"]),
            "all_norm": ("step", arrays["all_norm"]),
            "rounding_bound": ("step", arrays["rounding_bound"]),
            "first_step": (("twin", "tensor"), arrays["first_step"]),
            "churn": (("twin", "probe_step"), arrays["churn"]),
            "filter_l2": (("step", "filter"), arrays["filter_l2"]),
            "filter_norm": (("step", "filter"), arrays["filter_norm"]),
        }
        count = arrays["l2"].shape[0]
        coordinates: dict[str, Any] = {
            "twin": ["repeat", *(f"twin{index}" for index in range(1, count))],
            "label": ("twin", arrays["label"]),
            "step": arrays["step"],
            "tensor": arrays["tensor"],
            "size": ("tensor", arrays["size"]),
            "probe_step": arrays["probe_step"],
            "filter_tensor": ("filter", arrays["filter_tensor"]),
            "filter_index": ("filter", arrays["filter_index"]),
        }
        if "tangent_step" in arrays:
            split = np.full((len(arrays["tangent_step"]), len(arrays["tensor"])), np.nan, dtype=np.float32)
            split[:, np.isin(arrays["tensor"], arrays["tangent_tensor"])] = arrays["tangent_split"]
            variables["tangent_log_growth"] = ("tangent_step", arrays["tangent_log_growth"])
            variables["tangent_split"] = (("tangent_step", "tensor"), split)
            coordinates["tangent_step"] = arrays["tangent_step"]
        return xr.Dataset(variables, coordinates, {"verdict": self.verdict, "command": command, "member": name})

    def _rows(self, data: xr.Dataset) -> xr.Dataset:
        return data[[name for name in data.data_vars if data[name].dims == ("twin", "step")]]
