"""A study that was trained, as a Python object: its verdict, its tables, its runs as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from lastbit.core.status import Role, RunStatus
from lastbit.studies.audit.metrics import metrics_of
from lastbit.studies.audit.result import AuditResult
from lastbit.studies.frame.study import Study

__all__ = ["AuditStudy"]


_OWN = ("seed", "perturbation", "epoch", "step", "example", "status", "label", "loss", "predictions")


def _column(metric: str) -> str:
    """Return the name of a metric's array, which must be none of the others'."""
    return f"{metric}_metric" if metric in _OWN else metric


class AuditStudy(Study[AuditResult]):
    """An audit on disk.

    Example:
        >>> from lastbit import open_study
        >>> study = open_study("lastbit-studies/audit-digits-001")  # doctest: +SKIP
        >>> study.result.last_bit_variance_share.estimate  # doctest: +SKIP
        0.7
    """

    def _rows(self, data: xr.Dataset) -> xr.Dataset:
        return data.drop_dims(["step", "example"], errors="ignore")

    def to_xarray(self) -> xr.Dataset:
        """Return the runs as arrays with named dimensions.

        `train_loss`, `test_loss` and the metrics by (seed, perturbation, epoch), with `step` (optimizer steps) along
        `epoch`; `loss` by (seed, perturbation, step); `predictions` by (seed, perturbation, example) where there are
        classes; `status` and `label` by (seed, perturbation). Exact repeats are left out; a run that is missing is NaN
        (`status` "missing", predictions -1); of one whose arrays are damaged the metrics alone are there (`status`
        "damaged").
        """
        with self._folder() as folder:
            task, grid = folder.facts["task"], folder.facts["spec"]["settings"]
            # Of a training function the results alone are known.
            per_epoch, steps = task.get("steps_per_epoch", 1), task.get("steps", 1)
            metric = metrics_of(folder.facts)[0]
            both = {"seed": grid["seeds"], "perturbation": grid["perturbations"]}

            def empty(fill: Any, dtype: Any = None, **along: int) -> tuple[list[str], np.ndarray[Any, Any]]:
                sizes = both | along
                return list(sizes), np.full(list(sizes.values()), fill, dtype)

            runs = folder.runs()
            stored = [name for run in runs for name in run.metrics]
            of_steps = {"loss": empty(np.nan, step=steps)} if "steps" in task else {}
            names = dict.fromkeys(
                [*(["train_loss"] if of_steps else []), *map(_column, stored), _column(metric["name"])]
            )
            found = {name: empty(np.nan, epoch=steps // per_epoch) for name in names}
            found |= {**of_steps, "status": empty("missing", object), "label": empty("", object)}
            for run in runs:
                if run.role == Role.REPEAT:
                    continue
                cell = run.cell, run.twin
                found["status"][1][cell], found["label"][1][cell] = str(run.status), run.label
                if run.status == RunStatus.CRASHED:
                    continue
                damaged = folder.why_unreadable(run.run)
                if damaged:
                    found["status"][1][cell] = "damaged"
                arrays = {} if damaged else folder.arrays(run.run)
                losses = {"loss": arrays["losses"]} if "losses" in arrays else {}
                for name, values in ({_column(name): v for name, v in run.metrics.items()} | losses).items():
                    found[name][1][cell][: len(values)] = values
                if "predictions" in arrays:
                    if "predictions" not in found:
                        found["predictions"] = empty(-1, example=len(arrays["predictions"]))
                    found["predictions"][1][cell] = arrays["predictions"]
        coordinates = {name: np.arange(size) for name, size in both.items()}
        epochs = np.arange(1, steps // per_epoch + 1)
        coordinates |= {"epoch": epochs} | ({"step": np.arange(1, steps + 1)} if of_steps else {})
        attributes = {"verdict": self.verdict, "command": self.result.command, "unit": metric["unit"]}
        data = xr.Dataset(found, coordinates, attributes)
        data = data.assign_coords(step_at_epoch_end=("epoch", per_epoch * epochs)) if of_steps else data
        return data.assign({name: data[name].astype(str) for name in ("status", "label")})
