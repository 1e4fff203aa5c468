"""One training followed along its edge: base run, exact repeat and twins in lock step, curvature measured between.

Axes: K twins (the exact repeat first), S measured steps, L layers, M looks at layers, Q spectra, T steps.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core.status import RunStatus
from lastbit.curvature import (
    EffectiveHessian,
    HessianOperator,
    NotFiniteError,
    StabilityMonitor,
    StabilityRecord,
    StableLearningRates,
    batch_sharpness,
    optimized_parameters,
    spectral_density,
    stable_learning_rates,
)
from lastbit.dynamics import Divergence, measure_divergence
from lastbit.studies.eos.probe import probe_batch
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.frame.kind import DTYPES
from lastbit.tasks import Task
from lastbit.train import Training, TwinPlan, lock_step

__all__ = ["Followed", "follow", "record_arrays"]

Array = np.ndarray[Any, Any]

LAYER_LOOKS = 40
"""Steps at which every layer is measured: as many columns as the heat map of the report can show apart. A look costs
as much as several measurements, so that at most every fifth has one."""

LANCZOS_STEPS, PROBES = 40, 4
"""Of each spectral density."""


@dataclass
class Followed:
    """What one training left behind.

    Attributes:
        status: how it ended.
        message: why it did not end well.
        steps: optimizer steps taken.
        arrays: by name, see `record_arrays` and `Follower`.
        stable: what `stable_learning_rates` said, by step.
    """

    status: RunStatus = RunStatus.OK
    message: str = ""
    steps: int = 0
    arrays: dict[str, Array] = field(default_factory=dict)
    stable: dict[int, StableLearningRates] = field(default_factory=dict)


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
    dtype = DTYPES[config.dtype]
    total = min(config.steps or task.total_steps, task.total_steps)
    plan = TwinPlan(twins=config.twins, perturb=config.perturb, seed=config.seed, steps=total)
    with lock_step(task, plan, device=device, dtype=dtype) as twins:
        follower = _Follower(task, config, list(twins.trainings), total, looks)
        return follower.run(on_step, probe_batch(task, config.probe_size, device, dtype))


def _is_plain(optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether it is gradient descent without momentum, whose batch sharpness has `2/lr` for its edge."""
    return type(optimizer) is torch.optim.SGD and not any(group["momentum"] for group in optimizer.param_groups)


class _Follower:
    """The loop over the steps of one cell."""

    def __init__(self, task: Task, config: EosSettings, trainings: list[Training], total: int, looks: bool) -> None:
        self.task, self.config, self.trainings, self.total = task, config, trainings, total
        self.base = trainings[0]
        self.loss = self.base.loss
        self.found = Followed()
        self.distances: list[tuple[int, Divergence]] = []
        self.layers: list[StabilityRecord] = []
        self.spectra: dict[int, tuple[Array, Array]] = {}
        self.batches: list[tuple[float | None, ...]] = []
        self.batch_limits: list[float] = []
        self.looks = looks
        # A look falls on the next measured step; the last measured one always has one.
        every, last = config.every, total - total % config.every
        count = min(LAYER_LOOKS, max(2, total // (5 * every))) if looks else 0
        spread = np.linspace(1, total, count).round().astype(int).tolist()
        self.layer_steps = {min(int(-(-step // every) * every), last) for step in spread}
        self.spectrum_steps = {every, min(-(-total // (3 * every)) * every, last), last} if looks else set()

    def run(self, on_step: Callable[[int], None], probe: tuple[Tensor, Tensor]) -> Followed:
        """Take every step, measure, and return what was seen; there are at least `every` steps."""
        with self.base.active():
            self.monitor = StabilityMonitor(
                self.base.model, self.base.optimizer, self.loss, probe, every=self.config.every, budget=None, growing=0
            )
        self.probe = probe
        crossed = False
        for step in range(1, self.total + 1):
            due = step % self.config.every == 0
            # What is dear is measured at a few steps only.
            self.monitor.per_layer = due and step in self.layer_steps
            self.monitor.growing = 1 if self.monitor.per_layer else 0
            with self.base.active():
                self.base.step()
                record = self.monitor.step()
            for training in self.trainings[1:]:
                with training.active():
                    training.step()
            if record is not None:
                self._look(step, record, crossing=not crossed and record.ratio >= 1)
                crossed = crossed or record.ratio >= 1
            on_step(step)
            if record is not None and record.status != RunStatus.OK:
                break
        return self._finish(step)

    def _look(self, step: int, record: StabilityRecord, *, crossing: bool) -> None:
        if len(self.trainings) > 1:
            base, *others = (training.trained() for training in self.trainings)
            self.distances.append((step, measure_divergence(base, others).whole()))
        if record.status != RunStatus.OK:
            return
        if record.layers:
            self.layers.append(record)
        with suppress(NotFiniteError):  # on the way to infinity: the next measurement says that it diverged
            self._dear_look(step, record, crossing=crossing)

    def _dear_look(self, step: int, record: StabilityRecord, *, crossing: bool) -> None:
        """Measure what is measured at a few steps only."""
        if record.layers:
            self._batch_sharpness(step)
        if (crossing and self.looks) or step in self.spectrum_steps:
            with self.base.active():
                self.found.stable[step] = stable_learning_rates(
                    self.base.model, self.loss, self.probe, self.base.optimizer
                )
                names = list(optimized_parameters(self.base.model, self.base.optimizer))
                hessian = HessianOperator(self.base.model, self.loss, self.probe, parameters=names)
                effective = EffectiveHessian(hessian, self.base.model, self.base.optimizer)
                density = spectral_density(effective, steps=LANCZOS_STEPS, probes=PROBES, seed=self.config.seed)
            self.spectra[step] = density.nodes, density.weights

    def _batch_sharpness(self, step: int) -> None:
        """Measure the sharpness that mini-batches meet along their own gradients, where there are mini-batches."""
        if self.task.batch_size >= len(self.task.train):
            return
        examples = len(self.task.train)
        generator = np.random.default_rng([self.config.seed, step])
        split = self.task.train.to(self.base.device, DTYPES[self.config.dtype])
        draws = (
            split.batch(torch.from_numpy(generator.permutation(examples)[: self.task.batch_size])) for _ in range(40)
        )
        with self.base.active():
            found = batch_sharpness(self.base.model, self.loss, draws, rtol=0.1)
        self.batches.append((step, found.estimate.estimate, found.estimate.low, found.estimate.high))
        self.batch_limits.append(self.monitor.records[-1].limit if _is_plain(self.base.optimizer) else np.nan)

    def _finish(self, steps: int) -> Followed:
        found, records = self.found, self.monitor.records
        found.steps = steps
        losses = [torch.stack(training.losses).double().cpu().numpy() for training in self.trainings]
        if records and records[-1].status != RunStatus.OK:
            found.status, found.message = records[-1].status, f"weights or loss are not finite at step {steps}"
        elif not np.isfinite(losses[0]).all():
            found.status, found.message = RunStatus.DIVERGED, "the training loss is not finite"
        found.arrays = record_arrays(records) | {"train_loss": np.stack(losses)}
        if self.distances:
            rows = [row for _, row in self.distances]
            found.arrays |= {
                "distance_step": np.array([step for step, _ in self.distances]),
                "distance": torch.stack([row.l2[:, 0] for row in rows], 1).cpu().numpy(),
                "relative_l1": torch.stack([row.mean_relative_l1[:, 0] for row in rows], 1).cpu().numpy(),
                "norm": torch.stack([row.norm[0] for row in rows]).cpu().numpy(),
            }
        if self.layers:
            names = list(self.layers[0].layers)
            found.arrays |= {
                "layer": np.array(names),
                "layer_step": np.array([record.step for record in self.layers]),
                "layer_ratio": np.array([[record.layers[name] for name in names] for record in self.layers]),
            }
        if self.spectra:
            nodes, weights = zip(*self.spectra.values(), strict=True)
            found.arrays |= {
                "spectrum_step": np.array(list(self.spectra)),
                "spectrum_nodes": np.stack(nodes),
                "spectrum_weights": np.stack(weights),
            }
        if self.batches:
            batches = np.array(self.batches, dtype=np.float64)
            found.arrays |= {"batch_sharpness": batches, "batch_limit": np.array(self.batch_limits)}
        return found


def record_arrays(records: list[StabilityRecord]) -> dict[str, Array]:
    """Return measurements as arrays over axis S: `step`, `loss`, `sharpness`, `limit`, `ratio` and the rest."""
    names = (
        "step",
        "loss",
        "gradient_norm",
        "sharpness",
        "limit",
        "ratio",
        "residual",
        "converged",
        "smallest",
        "growing",
        "alignment",
        "products",
        "seconds",
    )
    found = {name: np.array([getattr(record, name) for record in records]) for name in names}
    found["lr"] = np.array([record.lrs[0] if record.lrs else np.nan for record in records])
    return found
