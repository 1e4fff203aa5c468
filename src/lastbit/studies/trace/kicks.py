"""Twins kicked in float64 by sizes from 1e-14 to 1e-3, in trainings of several seeds, with what tells curvature."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import torch_stream
from lastbit.curvature import NotFiniteError, StabilityMonitor
from lastbit.dynamics.divergence import measure_divergence
from lastbit.dynamics.mechanism import SIZES
from lastbit.studies.eos.follow import probe_of
from lastbit.studies.trace.recorder import RECORDED
from lastbit.studies.trace.settings import TraceSettings
from lastbit.studies.trace.tangent_watch import TangentWatch
from lastbit.tasks import Task
from lastbit.train.closed_loss import check_closed_loss
from lastbit.train.training import Training
from lastbit.train.twins import TwinPlan, Twins, lock_step

__all__ = ["kicked", "kicked_runs"]

# Axes: Q seeds, M sizes, S recorded steps, T tensors, R looks at the curvature.

_LOOKS, _PROBE, _TOLERANCE = 6, 256, 0.05
"""At the curvature of a training, training examples of each, and the relative residual of the largest eigenvalue."""

Arrays = dict[str, np.ndarray]


def kicked_runs(settings: TraceSettings) -> int:
    """Return how many runs a training takes besides its twins: of each seed base, repeat and kicks; 0 if not asked."""
    return settings.twins * (len(SIZES) + 2) if settings.mechanism else 0


def kicked(task: Task, settings: TraceSettings, device: torch.device, on_step: Callable[[int], None]) -> Arrays:
    """Train base runs in float64 with twins that are kicked at the branch, and measure how they part.

    There are as many seeds as twins, from the trace's own on. Every one has a direction of its own, a normal draw of
    all weights, scaled to the base's norm and then by each of `SIZES`.

    Args:
        task: what is trained.
        settings: the branch, the first seed, how many, and whether a tangent is carried along each base.
        device: where to train.
        on_step: told the steps taken, on the average of the seeds, after each record.

    Returns:
        `kick_seed` (Q,), `kick_step` (S,), `kick_size` (M,), `kick_relative` (Q, M, S), L2 distances over the norm of
        the base, and `kick_l2` (Q, M, S, T) float32, those of the tensors; `kick_repeat` (Q,), the largest of a twin
        that was not kicked, which must be 0; `kick_ratio` (Q, R) at `kick_ratio_step` (R,), learning rate over the
        largest stable one, R = 0 where curvature cannot be measured; with a tangent `kick_tangent` (Q, S), its growth
        in nats since the branch. They end where a base run stops being finite.
    """
    seeds = range(settings.seed, settings.seed + settings.twins)

    def tell(before: int, step: int) -> None:
        on_step((before + step) // len(seeds))

    found = []
    for place, seed in enumerate(seeds):
        one = settings.model_copy(update={"seed": seed})
        found.append(_of_seed(task, one, device, partial(tell, place * task.total_steps)))
    records = min(len(one["kick_step"]) for one in found)
    looks = min(len(one["kick_ratio_step"]) for one in found)
    stacked = {
        "kick_seed": np.array(seeds, dtype=np.int64),
        "kick_step": found[0]["kick_step"][:records],
        "kick_size": np.array(SIZES),
        "kick_repeat": np.array([float(one["kick_repeat"][:records].max()) for one in found]),
        "kick_ratio_step": found[0]["kick_ratio_step"][:looks],
        "kick_ratio": np.stack([one["kick_ratio"][:looks] for one in found]),
    }
    for name in ("kick_relative", "kick_l2", *(["kick_tangent"] if settings.tangent else [])):
        stacked[name] = np.stack([one[name][:records] for one in found])
    stacked["kick_relative"] = np.moveaxis(stacked["kick_relative"], 1, 2)
    stacked["kick_l2"] = np.moveaxis(stacked["kick_l2"], 1, 2)
    return stacked


def _of_seed(task: Task, settings: TraceSettings, device: torch.device, on_step: Callable[[int], None]) -> Arrays:
    """Return the arrays of one seed, recorded steps first."""
    alone = replace(task, test=task.test.subset(torch.arange(1)))
    watch = TangentWatch(alone) if settings.tangent else None
    plan = TwinPlan(twins=len(SIZES), perturb=None, seed=settings.seed, from_step=settings.from_step)
    steps, relative, tensors, repeats = [], [], [], []
    base = watch.watched_task if watch else None
    with lock_step(alone, plan, device=device, dtype=torch.float64, base=base) as twins:
        if watch is not None:
            watch.attach(twins.base)
        for training, size in zip(twins.trainings[2:], SIZES, strict=True):
            _kick(training, size, settings.seed)
        records = RECORDED.kept(twins.total - twins.start)
        curvature = _Curvature(task, twins, records)
        for index in records.tolist():
            twins.advance(twins.start + index)
            weights, *others = twins.weights()
            found = measure_divergence(weights, others)
            whole = found.whole()
            if not np.isfinite(float(whole.norm[0])):
                break
            repeat, *kicks = whole.relative_l2[:, 0].cpu().numpy()
            steps.append(twins.position)
            repeats.append(repeat)
            relative.append(kicks)
            tensors.append(found.l2[1:].float().cpu().numpy())
            curvature.look(index)
            on_step(twins.position)
    arrays = {
        "kick_step": np.array(steps, dtype=np.int64),
        "kick_repeat": np.array(repeats),
        "kick_relative": np.array(relative),
        "kick_l2": np.stack(tensors),
        "kick_ratio_step": np.array(curvature.steps, dtype=np.int64),
        "kick_ratio": np.array(curvature.ratios),
    }
    if watch is not None:
        carried = watch.arrays()
        grown = np.concatenate([[0.0], np.cumsum(carried["tangent_log_growth"])])
        arrays["kick_tangent"] = grown[np.searchsorted(carried["tangent_step"], arrays["kick_step"], side="right")]
    return arrays


class _Curvature:
    """Looks at the learning rate over the largest stable one along a base run; at none where that has no meaning."""

    def __init__(self, task: Task, twins: Twins, records: np.ndarray) -> None:
        self.steps: list[int] = []
        self.ratios: list[float] = []
        self._base = twins.base
        self._monitor: StabilityMonitor | None = None
        self._at = set(records[np.linspace(1, len(records) - 1, _LOOKS).round().astype(int)].tolist())
        with suppress(LastbitError), self._base.active():
            check_closed_loss(task, device=self._base.device, dtype=torch.float64)
            probe, loss = probe_of(self._base, _PROBE, torch.float64)
            self._monitor = StabilityMonitor(
                self._base.model, self._base.optimizer, loss, probe, budget=None, growing=0, tol=_TOLERANCE
            )

    def look(self, index: int) -> None:
        """Measure after a record, if it is one of those."""
        if self._monitor is None or index not in self._at:
            return
        with suppress(NotFiniteError), self._base.active():
            self.ratios.append(self._monitor.measure().ratio)
            self.steps.append(self._base.position)


@torch.no_grad()
def _kick(training: Training, size: float, seed: int) -> None:
    """Move the weights of a training by a share of their norm, along the direction of a seed."""
    weights = training.trained()
    generator = torch_stream(seed, "kick")
    drawn: dict[str, Tensor] = {
        name: torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight.device)
        for name, weight in weights.items()
    }
    norm, length = (float(get_total_norm(list(of.values()))) for of in (weights, drawn))
    for name, weight in weights.items():
        weight += size * norm / length * drawn[name]
