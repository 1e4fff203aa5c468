"""The live monitor with a study behind it: what it records is kept on disk as it comes, and can be drawn."""

from __future__ import annotations

import time
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

from torch import nn
from torch.optim import Optimizer

from lastbit import curvature
from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.curvature import StabilityRecord
from lastbit.curvature.batches import LossFunction
from lastbit.dynamics.blow_up import blow_up
from lastbit.report.formatting import RATIO_DIGITS, number, percent, plural
from lastbit.report.notebook import render_fragment
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.eos.follow import record_arrays
from lastbit.studies.eos.monitor_page import monitor_page
from lastbit.studies.eos.result import conclude
from lastbit.train.environment import environment

__all__ = ["StabilityMonitor"]

SAVE_SECONDS = 30.0
"""Between two writes of the arrays: a killed training loses at most that much of its record."""

_RUN = "training"


class StabilityMonitor(curvature.StabilityMonitor):
    """`lastbit.curvature.StabilityMonitor` that keeps its records in a study where `study` names a folder.

    The study is of the kind that `lastbit eos` makes, with one training and no twins: `lastbit report FOLDER` draws it.
    Its arrays are written every half minute; `close()`, or leaving the context, concludes it. `close()` and `summary()`
    measure the end of a loop that was too short for a measurement to be due.

    Args:
        model: the network, measured in the mode it is in.
        optimizer: the live optimizer.
        loss_fn: `loss_fn(outputs, targets)`, without weight decay.
        probe_batch: the fixed batch that curvature is measured on.
        study: new or empty folder to keep the records in; None keeps them in memory alone.
        **options: those of `lastbit.curvature.StabilityMonitor`: `every`, `budget`, `sinks`, `tol`, `growing`,
            `per_layer`, `micro_batch`, `reduction`.

    Raises:
        LastbitError: as the monitor itself; or the folder has content or cannot be written.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> batch = (torch.ones(8, 2), torch.ones(8, 1))
        >>> monitor = StabilityMonitor(model, optimizer, torch.nn.functional.mse_loss, batch, every=10)
        >>> round(monitor.measure().limit, 6)
        20.0
        >>> print(monitor.summary())
        1 measurement in 0 steps; at the last, the learning rate was 0.3 times the largest stable one.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loss_fn: LossFunction,
        probe_batch: Any,
        *,
        study: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, loss_fn, probe_batch, **options)
        self._folder: StudyFolder | None = None
        self._concluded = False
        if study is not None:
            self._folder = StudyFolder.create(Path(study), self._facts(Path(study)))
            self._saved = time.monotonic()
            self.sinks.insert(0, self._keep)

    def __exit__(self, *raised: object) -> None:
        """Take the hook off and conclude the study."""
        super().__exit__(*raised)
        self._conclude()

    def __enter__(self) -> Self:
        """Count steps and measure by a hook on the optimizer until the block ends.

        Raises:
            LastbitError: the monitor is entered already, or its study is concluded.
        """
        if self._concluded:
            raise LastbitError("the monitor's study is concluded: make a new monitor with another folder")
        return super().__enter__()

    def summary(self) -> str:
        """Return what was measured, in one line, and what the budget postponed."""
        self._at_least_once()
        taken = f"{plural(len(self.records), 'measurement')} in {plural(self.count, 'step')}"
        if self.latest is None:
            return f"{taken}."
        ratio = f"the learning rate was {number(self.latest.ratio, RATIO_DIGITS)} times the largest stable one"
        if self.latest.status != RunStatus.OK:
            ratio = "weights or loss were not finite"
        return " ".join([f"{taken}; at the last, {ratio}.", *self._postponed()])

    def _postponed(self) -> list[str]:
        budget = self._budget
        if not budget.postponed or budget.share is None:
            return []
        return [
            f"To stay within its budget of {percent(budget.share)} of the training's time, the monitor postponed "
            f"{plural(budget.postponed, 'measurement')}: budget=None makes them all."
        ]

    def _repr_html_(self) -> str:
        """Return the last measurements as a notebook shows them."""
        return render_fragment(monitor_page(self))

    def close(self) -> None:
        """Conclude the study, if there is one, and give its folder back. Twice does no harm."""
        if not self._concluded:
            self._at_least_once()
        self._conclude()

    def _conclude(self) -> None:
        folder, self._folder = self._folder, None
        if folder is None:
            return
        self._concluded = True
        with folder:
            if not self.records:
                folder.event("nothing measured", f"{plural(self.count, 'step')} taken")
                return
            folder.files(_RUN).arrays(record_arrays(self.records))
            folder.update_facts(task={**folder.facts["task"], "steps": self.count}, notes=self._postponed())
            bad = list(takewhile(lambda record: record.status != RunStatus.OK, reversed(self.records)))
            names = ("sharpness", "limit", "ratio", "loss")
            # A measurement repeated at one step replaces the one before it: the database holds one value a step.
            rows = list({record.step: record for record in self.records}.values())
            seen = [record for record in rows if record.status == RunStatus.OK]
            status, message = blow_up([record.loss for record in seen], [record.step for record in seen])
            if bad:
                status, message = RunStatus.DIVERGED, f"weights or loss are not finite at step {bad[-1].step}"
            folder.add(
                RunRecord(
                    run=_RUN,
                    cell=0,
                    role=Role.BASE,
                    label="training",
                    status=status,
                    message=message,
                    seconds=self._budget.training,
                    steps=tuple(record.step for record in rows),
                    metrics={name: [float(getattr(record, name)) for record in rows] for name in names},
                )
            )
            folder.save_result(conclude(folder).to_json())

    def _keep(self, record: StabilityRecord) -> None:
        if self._folder is not None and time.monotonic() - self._saved > SAVE_SECONDS:
            self._folder.files(_RUN).arrays(record_arrays(self.records))
            self._saved = time.monotonic()

    def _facts(self, path: Path) -> dict[str, Any]:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            what = "is not empty" if path.is_dir() else "is no folder"
            raise LastbitError(f"{path} {what}: name another folder for the monitor's study")
        parameter, name = next(self.model.parameters()), type(self.model).__name__
        settings = {"optimizer": type(self.optimizer).__name__.lower(), "model": name, "every": self._budget.every}
        dtype = str(parameter.dtype).removeprefix("torch.")
        unknown = {"train_size": 0, "batch_size": 0, "full_batch": False, "steps": 0}
        return {
            "kind": "eos",
            "spec": {"settings": {"seed": 0, "dtype": dtype}, "monitor": True},
            "command": f"lb.StabilityMonitor(model, optimizer, loss_fn, probe_batch, study={str(path)!r})",
            "task": {"name": name, "settings": settings, **unknown},
            "cells": [{"number": 0, "name": _RUN, "label": "", "seed": 0, "program": {}, "task_settings": settings}],
            "environment": environment(parameter.device),
        }
