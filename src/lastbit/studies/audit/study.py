"""A study that was trained, as a Python object: its verdict, its tables, its runs as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from lastbit.core.status import Role, RunStatus
from lastbit.studies.audit.result import AuditResult
from lastbit.studies.frame.study import Study

__all__ = ["AuditStudy"]


class AuditStudy(Study[AuditResult]):
    """An audit on disk.

    Example:
        >>> study = open_study("lastbit-studies/audit-digits-001")  # doctest: +SKIP
        >>> study.result.last_bit_variance_share.estimate  # doctest: +SKIP
        0.7
    """

    def _rows(self, data: xr.Dataset) -> xr.Dataset:
        return data.drop_dims(["step", "example"], errors="ignore")

    def to_xarray(self) -> xr.Dataset:
        """Return the runs as arrays with named dimensions.

        `train_loss`, `test_loss` and the metric by (seed, perturbation, epoch), with `step` (optimizer steps) along
        `epoch`; `loss` by (seed, perturbation, step); `predictions` by (seed, perturbation, example) where there are
        classes; `status` and `label` by (seed, perturbation). Exact repeats are left out; a run that is missing is NaN
        (`status` "missing", predictions -1).
        """
        with self._folder() as folder:
            task, grid = folder.facts["task"], folder.facts["spec"]["settings"]
            seeds, columns = grid["seeds"], grid["perturbations"]
            per_epoch, steps = task["steps_per_epoch"], task["steps"]
            epochs = steps // per_epoch
            names = ["train_loss", "test_loss", task["metric"]["name"]]
            metrics = {name: np.full((seeds, columns, epochs), np.nan) for name in names}
            losses = np.full((seeds, columns, steps), np.nan)
            status = np.full((seeds, columns), "missing", dtype=object)
            label = np.full((seeds, columns), "", dtype=object)
            predictions: dict[tuple[int, int], np.ndarray[Any, Any]] = {}
            for run in folder.runs():
                if run.role == Role.REPEAT:
                    continue
                cell = run.cell, run.twin
                status[cell], label[cell] = str(run.status), run.label
                if run.status == RunStatus.CRASHED:
                    continue
                for name in names:
                    metrics[name][cell][: len(run.metrics[name])] = run.metrics[name]
                arrays = folder.arrays(run.run)
                losses[cell][: len(arrays["losses"])] = arrays["losses"]
                if "predictions" in arrays:
                    predictions[cell] = arrays["predictions"]
        variables: dict[str, Any] = {
            name: (("seed", "perturbation", "epoch"), values) for name, values in metrics.items()
        }
        variables["loss"] = (("seed", "perturbation", "step"), losses)
        variables["status"] = (("seed", "perturbation"), status.astype(str))
        variables["label"] = (("seed", "perturbation"), label.astype(str))
        if predictions:
            table = np.full((seeds, columns, task["test_size"]), -1, dtype=np.int64)
            for cell, row in predictions.items():
                table[cell] = row
            variables["predictions"] = (("seed", "perturbation", "example"), table)
        coordinates = {
            "seed": np.arange(seeds),
            "perturbation": np.arange(columns),
            "epoch": np.arange(1, epochs + 1),
            "step": np.arange(1, steps + 1),
            "step_at_epoch_end": ("epoch", per_epoch * np.arange(1, epochs + 1)),
        }
        attributes = {"verdict": self.verdict, "command": self.result.command, "unit": task["metric"]["unit"]}
        return xr.Dataset(variables, coordinates, attributes)
