"""One measurement: how sharp a network is now, for the whole and by layer, and what its optimizer could bear."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lastbit import curvature
from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.curvature.batches import LossFunction, batch_size
from lastbit.perturb.base import Identity
from lastbit.report.formatting import number, plural
from lastbit.store import RunRecord
from lastbit.studies.eos.follow import probe_of
from lastbit.studies.eos.stable_rows import stable_arrays
from lastbit.studies.frame.kind import DTYPES, Cell, Plan, Trained, Work
from lastbit.studies.frame.rehearsal import first_step
from lastbit.studies.sharpness.checkpoint import load_checkpoint
from lastbit.studies.sharpness.result import RUN
from lastbit.studies.sharpness.settings import SharpnessSettings
from lastbit.tasks import Task
from lastbit.train.closed_loss import check_closed_loss
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

__all__ = ["rehearse", "train"]

LANCZOS_STEPS, PROBES = 60, 6
"""Of the spectral density: 360 Hessian-vector products."""


@contextmanager
def _begun(task: Task, settings: SharpnessSettings, device: torch.device) -> Iterator[Training]:
    """Lend the training at its start, the checkpoint loaded.

    Raises:
        LastbitError: the checkpoint does not fit, or nothing could be measured where the training will stand.
    """
    training = Training(task, streams(settings.seed), Identity(), device=device, dtype=DTYPES[settings.dtype])
    optimizer, most = training.optimizer, training.total_steps
    try:
        if settings.after > most:
            raise LastbitError(
                f"--after = {settings.after}: the training has {plural(most, 'step')}; write at most that"
            )
        if settings.checkpoint is not None:
            load_checkpoint(Path(settings.checkpoint), training.model, optimizer)
        limited = curvature.stability_limit(optimizer)
        if not settings.after and not optimizer.state and any(group.preconditioned for group in limited.groups):
            raise LastbitError(
                f"{type(optimizer).__name__} has taken no step yet, so its preconditioner is not defined: take some "
                "with --after 100, or give a --checkpoint that holds the optimizer's state"
            )
        yield training
    finally:
        training.close()


def rehearse(plan: Plan[SharpnessSettings], cell: Cell, task: Task) -> None:
    """Take the gradient that a measurement begins with.

    Raises:
        LastbitError: the checkpoint does not fit, or nothing can be measured.
    """
    settings, device = plan.settings, plan.device
    with first_step(task.name):
        check_closed_loss(task, device=device, dtype=DTYPES[settings.dtype])
    with first_step(task.name), _begun(task, settings, device) as begun, begun.active():
        _hessian(begun, *probe_of(begun, min(2, settings.probe_size), DTYPES[settings.dtype])).loss_and_gradient()


def _hessian(training: Training, batch: tuple[Tensor, Tensor], loss_fn: LossFunction) -> curvature.HessianOperator:
    names = list(curvature.optimized_parameters(training.model, training.optimizer))
    return curvature.HessianOperator(training.model, loss_fn, batch, parameters=names)


def _signature(
    training: Training, hessian: curvature.HessianOperator, loss: Tensor, gradient: Tensor
) -> dict[str, tuple[bytes, ...]]:
    """Return, bit for bit, what every number of a measurement rests on."""
    along = hessian @ (gradient / gradient.norm().clamp(min=torch.finfo(gradient.dtype).tiny))
    return {
        "the training loss": tuple(value.cpu().numpy().tobytes() for value in training.losses),
        "weights": (training.weights().tobytes(), training.buffers().tobytes()),
        "loss": (loss.cpu().numpy().tobytes(),),
        "gradient": (gradient.cpu().numpy().tobytes(),),
        "curvature": (along.cpu().numpy().tobytes(),),
    }


def _differing(one: Mapping[str, tuple[bytes, ...]], two: Mapping[str, tuple[bytes, ...]]) -> list[str]:
    """Return what first differs, and the step at which it does (0 before any); empty where every bit is the same."""
    for what, parts in one.items():
        places = [place for place, (a, b) in enumerate(zip(parts, two[what], strict=True)) if a != b]
        if places:
            return [what, str(places[0] + 1 if what == "the training loss" else len(one["the training loss"]))]
    return []


def train(work: Work[SharpnessSettings]) -> Trained:
    """Take the measurement and write its arrays, which `sharpness.result` reads."""
    began, task, settings = time.monotonic(), work.task, work.settings
    with _begun(task, settings, work.device) as training, training.active():
        model, optimizer = training.model, training.optimizer
        for step in range(settings.after):
            training.step()
            work.progress(step + 1)
        batch, loss_fn = probe_of(training, settings.probe_size, DTYPES[settings.dtype])
        stable = curvature.stable_learning_rates(model, loss_fn, batch, optimizer, by=settings.by)
        hessian = _hessian(training, batch, loss_fn)
        loss, gradient = hessian.loss_and_gradient()
        effective = curvature.EffectiveHessian(hessian, model, optimizer)
        density = curvature.spectral_density(
            effective.undecayed, steps=LANCZOS_STEPS, probes=PROBES, seed=settings.seed
        )
        total = curvature.trace(hessian, seed=settings.seed)
        measured = _signature(training, hessian, loss, gradient)
    with _begun(task, settings, work.device) as repeat, repeat.active():
        for _ in range(settings.after):
            repeat.step()
        again = _hessian(repeat, *probe_of(repeat, settings.probe_size, DTYPES[settings.dtype]))
        differs = _differing(measured, _signature(repeat, again, *again.loss_and_gradient()))
    arrays = {
        "repeat_differs": differs,
        "spectrum_nodes": density.nodes,
        "spectrum_weights": density.weights,
        "negative_share": density.share_below(0.0),
        "loss": float(loss),
        "gradient_norm": float(gradient.norm()),
        "trace": np.array([total.estimate, total.low, total.high], dtype=float),
        "trace_samples": total.n,
        "examples": batch_size(batch),
        "optimizer": type(optimizer).__name__,
        **stable_arrays({settings.after: stable}),
    }
    work.files(RUN).arrays({name: np.asarray(value) for name, value in arrays.items()})
    whole = stable.whole
    record = RunRecord(
        run=RUN,
        cell=0,
        role=Role.BASE,
        label=task.name,
        status=RunStatus.OK,
        seconds=time.monotonic() - began,
        steps=(settings.after,),
        metrics={"loss": [float(loss)], "sharpness": [whole.sharpness], "limit": [whole.limit]},
    )
    return Trained(records=(record,), said=f"sharpness {number(whole.sharpness)}")
