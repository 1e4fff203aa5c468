"""One measurement: how sharp a network is now, for the whole and by layer, and what its optimizer could bear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lastbit.core.errors import LastbitError, choose
from lastbit.core.status import Role, RunStatus
from lastbit.core.threads import suitable_threads
from lastbit.curvature import (
    EffectiveHessian,
    HessianOperator,
    optimized_parameters,
    spectral_density,
    stability_limit,
    stable_learning_rates,
    trace,
)
from lastbit.perturb import Identity
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.eos.config import EosConfig, cells, eos_command, eos_config
from lastbit.studies.eos.run_eos import object_config
from lastbit.studies.eos.stable_rows import stable_arrays, stable_rows
from lastbit.studies.eos.workload import build_cell, probe_batch
from lastbit.studies.frame.environment import environment
from lastbit.studies.frame.folders import new_folder
from lastbit.studies.frame.settings import DTYPES
from lastbit.studies.sharpness.checkpoint import load_checkpoint
from lastbit.studies.sharpness.result import RUN, conclude
from lastbit.studies.sharpness.study import SharpnessStudy
from lastbit.tasks import Task
from lastbit.train import Training, resolve_device, streams

__all__ = ["sharpness"]

LANCZOS_STEPS, PROBES = 60, 6
"""Of the spectral density: 360 Hessian-vector products."""


def sharpness(
    task: str | Task | None = None,
    *,
    checkpoint: str | Path | None = None,
    after: int = 0,
    by: str = "module",
    out: str | Path | None = None,
    **settings: Any,
) -> SharpnessStudy:
    """Measure the sharpness of a task's network now, against the limit of its optimizer.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, or a `Task`.
        checkpoint: weights to load first; with the optimizer's state where the file holds it.
        after: training steps to take before measuring. Adam and its like need one: their preconditioner is not
            defined before.
        by: what the rows of the table are: `"module"`, `"tensor"` or `"group"`.
        out: folder to keep the measurement in; by default the next free `lastbit-studies/sharpness-TASK-NNN`.
        **settings: those of `EosConfig` that say what is trained and on how many examples curvature is measured.

    Raises:
        LastbitError: a setting, the task, the checkpoint or the folder does not do, or nothing can be measured.

    Example:
        >>> found = sharpness("digits", after=100)  # doctest: +SKIP
        >>> found.result.whole.max_lr  # doctest: +SKIP
        0.16
    """
    choose(by, ("module", "tensor", "group"), "--by")
    if isinstance(after, bool) or not isinstance(after, int) or after < 0:
        raise LastbitError(f"--after = {after!r}: give a number of training steps, 0 or more")
    given = {name: value for name, value in settings.items() if value is not None}
    config = (
        object_config(task, given)
        if isinstance(task, Task)
        else eos_config({**given, **({"task": task} if task is not None else {})})
    )
    found = cells(config)
    if len(found) > 1:
        raise LastbitError(f"one measurement takes one value of each setting, got {len(found)} combinations")
    device = resolve_device(config.device)
    steps = max(after, 1)
    built = task if isinstance(task, Task) else build_cell(config.model_copy(update={"steps": steps}), found[0])
    built.check()
    with suitable_threads(built.model, built.batch_size):
        arrays = measure(built, config, None if checkpoint is None else Path(checkpoint), after, by, device)
    facts = _facts(task, built, config, checkpoint, after, by, device)
    with StudyFolder.create(new_folder("sharpness", built.name, out), facts) as folder:
        folder.files(RUN).arrays(arrays)
        (rows,) = stable_rows(arrays).values()
        numbers = {"loss": float(arrays["loss"]), "sharpness": rows.whole.sharpness, "limit": rows.whole.limit}
        folder.add(
            RunRecord(
                run=RUN,
                cell=0,
                role=Role.BASE,
                label=built.name,
                status=RunStatus.OK,
                steps=(after,),
                metrics={name: [value] for name, value in numbers.items()},
            )
        )
        folder.save_result(conclude(folder).to_json())
    return SharpnessStudy(folder.path)


def measure(
    task: Task, config: EosConfig, checkpoint: Path | None, after: int, by: str, device: torch.device
) -> dict[str, np.ndarray[Any, Any]]:
    """Return one measurement as the arrays that `sharpness.result` reads.

    Raises:
        LastbitError: the checkpoint does not fit, or nothing can be measured.
    """
    dtype = DTYPES[config.dtype]
    training = Training(task, streams(config.seed), Identity(), device=device, dtype=dtype)
    if after > training.total_steps:
        raise LastbitError(f"--after = {after}: the training has {training.total_steps} steps; write at most that")
    model, optimizer, loss = training.model, training.optimizer, training.loss
    if checkpoint is not None:
        load_checkpoint(checkpoint, model, optimizer)
    batch = probe_batch(task, config.probe_size, device, dtype)
    with training.active():
        for _ in range(after):
            training.step()
        if not after and not optimizer.state and _adaptive(optimizer):
            raise LastbitError(
                f"{type(optimizer).__name__} has taken no step yet, so its preconditioner is not defined: take some "
                "with --after 100, or give a --checkpoint that holds the optimizer's state"
            )
        stable = stable_learning_rates(model, loss, batch, optimizer, by=by)
        names = list(optimized_parameters(model, optimizer))
        hessian = HessianOperator(model, loss, batch, parameters=names)
        value, gradient = hessian.loss_and_gradient()
        effective = EffectiveHessian(hessian, model, optimizer)
        density = spectral_density(effective, steps=LANCZOS_STEPS, probes=PROBES, seed=config.seed)
        total = trace(hessian, seed=config.seed)
    training.close()
    return {
        "spectrum_nodes": density.nodes,
        "spectrum_weights": density.weights,
        "negative_share": np.array(density.share_below(0.0)),
        "loss": np.array(float(value)),
        "gradient_norm": np.array(float(gradient.norm())),
        "trace": np.array([total.estimate, total.low, total.high], dtype=float),
        "trace_samples": np.array(total.n),
        "examples": np.array(len(batch[0])),
        "optimizer": np.array(type(optimizer).__name__),
        **stable_arrays({after: stable}),
    }


def _adaptive(optimizer: torch.optim.Optimizer) -> bool:
    return any(group.preconditioned for group in stability_limit(optimizer).groups)


def _facts(
    task: str | Task | None,
    built: Task,
    config: EosConfig,
    checkpoint: str | Path | None,
    after: int,
    by: str,
    device: torch.device,
) -> dict[str, Any]:
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in config.model_dump().items()}
    more = f" --after {after} --by {by}" + (f" --checkpoint {checkpoint}" if checkpoint is not None else "")
    given = f"lb.sharpness(<Task {built.name!r}>, after={after}, by={by!r}, checkpoint={checkpoint!r})"
    return {
        "kind": "sharpness",
        "spec": {"settings": settings, "after": after, "by": by, "checkpoint": str(checkpoint or "")},
        "command": given if isinstance(task, Task) else sharpness_command(config) + more,
        "task": {
            "name": built.name,
            "settings": dict(built.settings),
            "train_size": len(built.train),
            "batch_size": built.batch_size,
        },
        "environment": environment(device),
    }


_NOT_OF_ONE = ("steps", "twins", "perturb", "every", "flow", "schedule", "seeds")
"""Settings of a whole training that one measurement has no use for."""


def sharpness_command(config: EosConfig) -> str:
    """Return the command that repeats a measurement, without the settings of a whole training."""
    words = eos_command(config, "sharpness", without=_NOT_OF_ONE)
    return words.replace(f" --task {config.task}", f" {config.task}", 1)
