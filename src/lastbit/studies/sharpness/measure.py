"""One measurement: how sharp a network is now, for the whole and by layer, and what its optimizer could bear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lastbit.core.errors import LastbitError, choose
from lastbit.core.plain import plain
from lastbit.core.status import Role, RunStatus
from lastbit.core.threads import suitable_threads
from lastbit.curvature import (
    EffectiveHessian,
    HessianOperator,
    SpectralDensity,
    StableLearningRates,
    optimized_parameters,
    spectral_density,
    stability_limit,
    stable_learning_rates,
    trace,
)
from lastbit.perturb import Identity
from lastbit.report.formatting import bound, number
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.eos.analysis import stable_rows
from lastbit.studies.eos.config import EosConfig, cells, eos_command, eos_config
from lastbit.studies.eos.run_eos import object_config
from lastbit.studies.eos.workload import build_cell, probe_batch
from lastbit.studies.frame.environment import environment
from lastbit.studies.frame.folders import new_folder
from lastbit.studies.frame.settings import DTYPES
from lastbit.studies.sharpness.checkpoint import load_checkpoint
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
        >>> found.result["whole"]["max_lr"]  # doctest: +SKIP
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
        measured = _measure(built, config, None if checkpoint is None else Path(checkpoint), after, by, device)
    facts = _facts(task, built, config, measured, checkpoint, after, by, device)
    folder = StudyFolder.create(new_folder("sharpness", built.name, out), facts)
    with folder:
        density = measured.density
        folder.files("measurement").arrays({"spectrum_nodes": density.nodes, "spectrum_weights": density.weights})
        whole = measured.stable.whole
        folder.add(
            RunRecord(
                run="measurement",
                cell=0,
                role=Role.BASE,
                label=built.name,
                status=RunStatus.OK,
                steps=(after,),
                metrics={"loss": [measured.loss], "sharpness": [whole.sharpness], "limit": [whole.limit]},
            )
        )
        folder.save_result(_result(folder.facts, measured))
    return SharpnessStudy(folder.path)


@dataclass(frozen=True)
class _Measured:
    """What one measurement found."""

    loss: float
    gradient_norm: float
    optimizer: str
    stable: StableLearningRates
    density: SpectralDensity
    trace: dict[str, Any]
    examples: int


def _measure(
    task: Task, config: EosConfig, checkpoint: Path | None, after: int, by: str, device: torch.device
) -> _Measured:
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
    return _Measured(
        loss=float(value),
        gradient_norm=float(gradient.norm()),
        optimizer=type(optimizer).__name__,
        stable=stable,
        density=density,
        examples=len(batch[0]),
        trace={"estimate": total.estimate, "low": total.low, "high": total.high, "n": total.n},
    )


def _adaptive(optimizer: torch.optim.Optimizer) -> bool:
    return any(group.preconditioned for group in stability_limit(optimizer).groups)


def _facts(
    task: str | Task | None,
    built: Task,
    config: EosConfig,
    measured: _Measured,
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
        "examples": measured.examples,
        "environment": environment(device),
    }


_NOT_OF_ONE = ("steps", "twins", "perturb", "every", "flow", "schedule", "seeds")
"""Settings of a whole training that one measurement has no use for."""


def sharpness_command(config: EosConfig) -> str:
    """Return the command that repeats a measurement, without the settings of a whole training."""
    words = eos_command(config, "sharpness", without=_NOT_OF_ONE)
    return words.replace(f" --task {config.task}", f" {config.task}", 1)


def _result(facts: Mapping[str, Any], measured: _Measured) -> dict[str, Any]:
    rows = stable_rows(measured.stable)
    whole = rows["whole"]
    sentence, kind, advice = _verdict(whole, rows["layers"], measured.optimizer)
    return {
        "kind": "sharpness",
        "verdict": sentence,
        "verdict_kind": kind,
        "advice": advice,
        "whole": whole,
        "per_layer": rows["layers"],
        "optimizer": measured.optimizer,
        "loss": plain(measured.loss),
        "gradient_norm": plain(measured.gradient_norm),
        "trace": plain(measured.trace),
        "share_of_negative_eigenvalues": measured.density.share_below(0.0),
        "examples": measured.examples,
        "after": facts["spec"]["after"],
        "dtype": facts["spec"]["settings"]["dtype"],
        "task": facts["task"],
        "spec": facts["spec"],
        "command": facts["command"],
        "environment": facts["environment"],
    }


def _verdict(whole: Mapping[str, Any], layers: list[dict[str, Any]], optimizer: str) -> tuple[str, str, str]:
    """Return the sentence, one word (`stable`, `past_limit`, `not_converged`) and what to do."""
    ratio, most = None if whole["ratio"] is None else float(whole["ratio"]), whole["max_lr"]
    rates = "" if most is None else f"; the largest stable learning rate is {bound(most)}"
    in_use = "" if whole["lr"] is None else f" (in use: {whole['lr']:.4g})"
    sharp = max(layers, key=lambda row: float("-inf" if row["ratio"] is None else row["ratio"]))
    advice = (
        f"The sharpest layer is {sharp['name']}, alone at {number(sharp['ratio'], missing='unknown')} of its limit."
    )
    if ratio is None:
        return f"the limit of {optimizer} cannot be exceeded at a learning rate of 0{rates}.", "stable", advice
    limit = number(whole["limit"], missing="unknown")
    figure = f"sharpness {whole['sharpness']:.4g} is {ratio:.3g} times the limit {limit} of {optimizer}"
    if not whole["converged"]:
        return f"not certified: {figure}, but the eigenvalue did not converge.", "not_converged", advice
    if ratio > 1:
        return (
            f"past the stable step: {figure}{rates}{in_use}.",
            "past_limit",
            f"{advice} Along the sharpest direction a difference grows from step to step, until other terms hold it.",
        )
    return f"within the stable step: {figure}{rates}{in_use}.", "stable", advice
