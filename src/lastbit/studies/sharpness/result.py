"""What one measurement of sharpness concludes: what the whole network and each layer can bear, and the spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.curvature import LayerStability
from lastbit.stats import Estimate
from lastbit.store import SCHEMA, StudyFolder
from lastbit.studies.eos.stable_rows import former_row, stable_rows
from lastbit.studies.frame.control import Control, Difference, control_of
from lastbit.studies.frame.result import Result, head
from lastbit.studies.frame.study import Study
from lastbit.studies.sharpness.verdict import not_repeated, sharpness_verdict

__all__ = ["RUN", "SharpnessResult", "SharpnessStudy", "conclude"]

RUN = "measurement"
"""Name of the only run of such a study."""


@dataclass(frozen=True, kw_only=True)
class SharpnessResult(Result):
    """What one measurement of sharpness concluded."""

    whole: LayerStability
    """All parameters together."""
    per_layer: tuple[LayerStability, ...]
    """Each layer, tensor or group, moved alone."""
    optimizer: str
    loss: float | None
    gradient_norm: float | None
    trace: Estimate
    """Of the Hessian of the loss."""
    share_of_negative_eigenvalues: float
    examples: int
    """How many training examples it was measured on."""
    after: int
    """Training steps taken before."""
    dtype: str
    control: Control | None = None
    """Whether the training and what curvature is made of repeated bit for bit; None where that was not tried."""

    @property
    def passed(self) -> bool:
        """Whether the measurement repeats, and the eigenvalue of the whole network is certified by its residual."""
        return self.whole.converged and super().passed


class SharpnessStudy(Study[SharpnessResult]):
    """A measurement of sharpness on disk.

    Example:
        >>> from lastbit import open_study
        >>> found = open_study("lastbit-studies/sharpness-digits-001")  # doctest: +SKIP
        >>> found.result.whole.ratio  # doctest: +SKIP
    """

    @property
    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """What was measured; `spectrum_nodes` and `spectrum_weights` have a row for each probe."""
        with self._folder() as folder:
            return folder.arrays(RUN)


def conclude(folder: StudyFolder) -> SharpnessResult:
    """Return what the measurement in the folder says.

    Raises:
        LastbitError: it crashed, or is not there.
    """
    for record in folder.runs():
        if record.status == RunStatus.CRASHED:
            raise LastbitError(f"the measurement in {folder.path} crashed: {record.message}")
    found = _former(folder.result() or {}) if folder.facts["schema"] != SCHEMA else _measured(folder.arrays(RUN))
    settings = folder.facts["spec"]["settings"]
    said = sharpness_verdict(found["whole"], found["per_layer"], found["optimizer"])
    control = found.get("control")
    if control is not None and control.first_difference is not None:
        said = not_repeated(control.first_difference)
    return SharpnessResult(**head(folder, said, 1, 1), **found, after=settings["after"], dtype=settings["dtype"])


def _measured(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    (rows,) = stable_rows(arrays).values()
    loss, norm = (None if np.isnan(arrays[name]) else float(arrays[name]) for name in ("loss", "gradient_norm"))
    estimate, low, high = arrays["trace"].tolist()
    differs = arrays.get("repeat_differs")
    control = None if differs is None else control_of([_difference(differs.tolist())])
    return {
        "control": control,
        "whole": rows.whole,
        "per_layer": rows.layers,
        "optimizer": str(arrays["optimizer"]),
        "loss": loss,
        "gradient_norm": norm,
        "trace": Estimate(estimate, low, high, int(arrays["trace_samples"])),
        "share_of_negative_eigenvalues": float(arrays["negative_share"]),
        "examples": int(arrays["examples"]),
    }


def _difference(found: Sequence[str]) -> Difference | None:
    return Difference(cell=0, what=found[0], step=int(found[1])) if found else None


def _former(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same of format 1, which kept a measurement in `result.json` alone."""
    names = ("optimizer", "loss", "gradient_norm", "share_of_negative_eigenvalues", "examples")
    return {
        "whole": former_row(result["whole"]),
        "per_layer": tuple(map(former_row, result["per_layer"])),
        "trace": Estimate(**result["trace"]),
        **{name: result[name] for name in names},
    }
