"""One training followed along its edge: base run, exact repeat and twins in lock step, curvature measured between.

Axes: K twins (the exact repeat first), S measured steps, L layers, M looks at layers, Q spectra, T steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit import curvature
from lastbit.core.status import RunStatus
from lastbit.curvature import NotFiniteError, StabilityRecord, StableLearningRates
from lastbit.curvature.batches import LossFunction
from lastbit.dynamics.blow_up import blow_up
from lastbit.dynamics.divergence import measure_divergence
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.eos.stable_rows import stable_arrays
from lastbit.studies.frame.kind import DTYPES
from lastbit.tasks import Task
from lastbit.train.training import Training
from lastbit.train.twins import TwinPlan, lock_step

__all__ = ["MEASURED", "Followed", "follow", "probe_of", "record_arrays"]

MEASURED = tuple(field.name for field in fields(StabilityRecord) if field.name not in ("status", "lrs", "layers"))
"""The fields of a `StabilityRecord` that are one number."""

LAYER_LOOKS = 40
"""Steps at which every layer is measured: as many columns as the heat map of the report can show apart. A look costs
as much as several measurements, so that at most every fifth has one."""

LANCZOS_STEPS, PROBES = 40, 4
"""Of each spectral density."""


@dataclass(frozen=True)
class Followed:
    """What one training left behind.

    Attributes:
        status: how it ended.
        message: why it did not end well.
        arrays: by name, those of `record_arrays`, of `stable_arrays` and what else was kept along the way.
    """

    status: RunStatus
    message: str
    arrays: dict[str, np.ndarray]


def _probe(training: Training, size: int, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return inputs and targets of the first `size` training examples, or of all where there are fewer."""
    examples = training.task.train
    return training.pair(examples.to(training.device, dtype).batch(torch.arange(min(size, len(examples)))))


def probe_of(training: Training, size: int, dtype: torch.dtype) -> tuple[tuple[Any, Any], LossFunction]:
    """Return what curvature is measured on, and the loss there as it stands for a batch of the training.

    A loss that averages is the training's own, on `size` examples. One that sums is larger on more examples: its probe
    is at least a batch, and it is scaled down to one where it is more.

    Raises:
        LastbitError: the loss does neither, and the probe is no batch.
    """
    task, loss = training.task, training.loss
    probe = _probe(training, size, dtype)
    scale = curvature.batch_scale(training.model, loss, probe, task.batch_size)
    if scale > 1:
        return _probe(training, task.batch_size, dtype), loss
    return probe, loss if scale == 1 else lambda outputs, targets: scale * loss(outputs, targets)


def follow(
    task: Task,
    config: EosSettings,
    *,
    device: torch.device,
    on_step: Callable[[int], None] = lambda step: None,
    looks: bool = True,
) -> Followed:
    """Train a task with its twins and measure its stability along the way.

    Args:
        task: what is trained.
        config: how often is measured, which twins there are.
        device: where.
        on_step: told the number of every step, after it.
        looks: whether to look at layers and spectra too, at a few steps.

    Raises:
        LastbitError: the task, its optimizer or its loss cannot be measured.
    """
    total = min(config.steps or task.total_steps, task.total_steps)
    plan = TwinPlan(twins=config.twins, perturb=config.perturb, seed=config.seed, steps=total)
    with lock_step(task, plan, device=device, dtype=DTYPES[config.dtype]) as twins:
        return _Follower(task, config, list(twins.trainings), total, looks).run(on_step)


class _Follower:
    """The loop over the steps of one cell."""

    def __init__(self, task: Task, config: EosSettings, trainings: list[Training], total: int, looks: bool) -> None:
        self.task, self.config, self.trainings, self.total, self.looks = task, config, trainings, total, looks
        self.base, self.loss = trainings[0], trainings[0].loss
        self.rows: defaultdict[str, list[np.ndarray]] = defaultdict(list)
        self.stable: dict[int, StableLearningRates] = {}
        # A look falls on the next measured step; the last measured one always has one.
        every, last = config.every, total - total % config.every
        count = min(LAYER_LOOKS, max(2, total // (5 * every))) if looks else 0
        spread = np.linspace(1, total, count).round().astype(int).tolist()
        self.layer_steps = {min(int(-(-step // every) * every), last) for step in spread}
        self.spectrum_steps = {every, min(-(-total // (3 * every)) * every, last), last} if looks else set()
        with self.base.active():
            self.probe, self.probe_loss = probe_of(self.base, config.probe_size, DTYPES[config.dtype])
            self.monitor = curvature.StabilityMonitor(
                self.base.model, self.base.optimizer, self.probe_loss, self.probe, every=every, budget=None, growing=0
            )

    def run(self, on_step: Callable[[int], None]) -> Followed:
        """Take every step, measure, and return what was seen; there are at least `every` steps."""
        for step in range(1, self.total + 1):
            # What is dear is measured at a few steps only.
            self.monitor.per_layer = step in self.layer_steps
            self.monitor.growing = int(self.monitor.per_layer)
            with self.base.active():
                self.base.step()
                record = self.monitor.step()
            for training in self.trainings[1:]:
                with training.active():
                    training.step()
            if record is not None:
                self._look(record)
            on_step(step)
            if record is not None and record.status != RunStatus.OK:
                break
        return self._finish(step)

    def _keep(self, **values: Tensor | np.ndarray | float) -> None:
        for name, value in values.items():
            self.rows[name].append(value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value))

    def _look(self, record: StabilityRecord) -> None:
        if len(self.trainings) > 1:
            base, *others = (training.trained() for training in self.trainings)
            apart = measure_divergence(base, others).whole()
            self._keep(distance_step=record.step, distance=apart.l2[:, 0])
            self._keep(relative_l1=apart.mean_relative_l1[:, 0], norm=apart.norm[0])
        if record.status == RunStatus.OK:
            with suppress(NotFiniteError):  # on the way to infinity: the next measurement says that it diverged
                self._dear_look(record)

    def _dear_look(self, record: StabilityRecord) -> None:
        """Measure what is measured at a few steps only."""
        step, model, optimizer = record.step, self.base.model, self.base.optimizer
        if record.layers and self.task.batch_size < len(self.task.train):
            self._batch_sharpness(record)
        crossing = record.ratio >= 1 and not any(before.ratio >= 1 for before in self.monitor.records[:-1])
        if (crossing and self.looks) or step in self.spectrum_steps:
            with self.base.active():
                self.stable[step] = curvature.stable_learning_rates(model, self.probe_loss, self.probe, optimizer)
                names = list(curvature.optimized_parameters(model, optimizer))
                hessian = curvature.HessianOperator(model, self.probe_loss, self.probe, parameters=names)
                operator = curvature.EffectiveHessian(hessian, model, optimizer).undecayed
                density = curvature.spectral_density(
                    operator, steps=LANCZOS_STEPS, probes=PROBES, seed=self.config.seed
                )
            self._keep(spectrum_step=step, spectrum_nodes=density.nodes, spectrum_weights=density.weights)

    def _batch_sharpness(self, record: StabilityRecord) -> None:
        """Measure the sharpness that mini-batches meet along their own gradients."""
        generator = np.random.default_rng([self.config.seed, record.step])
        split, size = self.task.train.to(self.base.device, DTYPES[self.config.dtype]), self.task.batch_size
        draws = (
            self.base.pair(split.batch(torch.from_numpy(generator.permutation(len(split))[:size]))) for _ in range(40)
        )
        with self.base.active():
            found = curvature.batch_sharpness(self.base.model, self.loss, draws, rtol=0.1)
        # Only gradient descent without momentum has `2/lr` for the edge of its batch sharpness.
        optimizer = self.base.optimizer
        plain = type(optimizer) is torch.optim.SGD and not any(group["momentum"] for group in optimizer.param_groups)
        row = np.array([record.step, found.estimate, found.low, found.high], dtype=np.float64)
        self._keep(batch_sharpness=row, batch_limit=record.limit if plain else np.nan)

    def _finish(self, steps: int) -> Followed:
        records = self.monitor.records
        losses = np.stack([torch.stack(training.losses).double().cpu().numpy() for training in self.trainings])
        status, message = blow_up(losses[0])
        if records and records[-1].status != RunStatus.OK:
            status, message = records[-1].status, f"weights or loss are not finite at step {steps}"
        # Twins are the first axis of what they have each.
        kept = {
            name: np.stack(rows, axis=1 if name in ("distance", "relative_l1") else 0)
            for name, rows in self.rows.items()
        }
        arrays = record_arrays(records) | {"train_loss": losses} | kept | stable_arrays(self.stable)
        return Followed(status, message, arrays)


def record_arrays(records: list[StabilityRecord]) -> dict[str, np.ndarray]:
    """Return measurements as arrays: `MEASURED` and `lr` over axis S; where layers were measured, `layer_ratio` (M, L).

    `layer_step` and `layer` say at which steps, and of which layers.
    """
    found = {name: np.array([getattr(record, name) for record in records]) for name in MEASURED}
    found["lr"] = np.array([record.lrs[0] if record.lrs else np.nan for record in records])
    if looked := [record for record in records if record.layers]:
        names = list(dict.fromkeys(name for record in looked for name in record.layers))
        ratios = [[record.layers.get(name, np.nan) for name in names] for record in looked]
        found |= {"layer": np.array(names), "layer_step": np.array([record.step for record in looked])}
        found["layer_ratio"] = np.array(ratios)
    return found
