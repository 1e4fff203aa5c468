"""The edge-of-stability study: plan, rehearse, have every cell trained with its twins, conclude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError
from lastbit.core.threads import suitable_threads
from lastbit.studies.eos.cells import train_cells
from lastbit.studies.eos.config import AXES, Cell, EosConfig, cells, eos_command, eos_config
from lastbit.studies.eos.follow import follow
from lastbit.studies.eos.result import conclude
from lastbit.studies.eos.study import EosStudy
from lastbit.studies.eos.worker import cell_task
from lastbit.studies.frame.environment import environment
from lastbit.studies.frame.execution import check_workers
from lastbit.studies.frame.fingerprint import fingerprint
from lastbit.studies.frame.folders import begin_study, stored_facts
from lastbit.studies.frame.rehearsal import first_step
from lastbit.tasks import Task
from lastbit.train import resolve_device

__all__ = ["eos", "object_config"]


def eos(
    task: str | Task | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
    **settings: Any,
) -> EosStudy:
    """Follow trainings along their edge of stability: sharpness against the optimizer's limit, twins beside it.

    Trains each cell of the sweep with an exact repeat and `twins` perturbed twins in lock step, and measures the
    sharpness every `every` steps. With no settings: full-batch gradient descent at a rate of 0.1 on 600 digits.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, or a `Task`.
        out: folder of the study, new or empty; by default the next free `lastbit-studies/eos-TASK-NNN`.
        resume: folder of a sweep that was interrupted, in place of `out`; its finished trainings stay.
        workers: number of processes that share the trainings of a sweep, with one thread each; 1 stays in this
            process; None measures both ways.
        quiet: show no progress.
        **settings: those of `EosConfig`; `lr`, `momentum`, `weight_decay`, `depth`, `width` and `kernel` may be
            sequences, and make a sweep; so does `seeds` above 1.

    Returns:
        The finished study.

    Raises:
        LastbitError: a setting, the task or the folder does not do; or the user interrupted.

    Example:
        >>> study = eos("digits", weight_decay=(0, 0.01), steps=600, quiet=True)  # doctest: +SKIP
        >>> study.result.ratio_tail.estimate  # doctest: +SKIP
        1.03
    """
    check_workers(workers)
    stored = stored_facts("eos", "an edge-of-stability study", out, resume)
    config = _plan(task, settings, stored)
    device = resolve_device(config.device)
    given = task if isinstance(task, Task) else None
    sweep = [(cell, cell_task(given, config, cell)) for cell in cells(config)]
    for cell, built in sweep:
        _rehearse(built, cell, config, device)
    facts = _facts(task, config, sweep, environment(device))
    with begin_study(facts, stored, out, resume) as folder:
        train_cells(folder, given, config, sweep, workers=workers, quiet=quiet)
        folder.save_result(conclude(folder).to_json())
    return EosStudy(folder.path)


def _plan(task: str | Task | None, settings: Mapping[str, Any], stored: Mapping[str, Any] | None) -> EosConfig:
    """Return the settings given, over those of the study to resume, over the defaults."""
    before = dict(stored["spec"]["eos"]) if stored is not None else {}
    if isinstance(task, Task):
        return object_config(task, {**before, **settings})
    if stored is not None and stored["spec"].get("object"):
        raise LastbitError(f"this study follows a Task object ({stored['spec']['object']}): resume it from Python")
    given = {name: value for name, value in settings.items() if value is not None}
    return eos_config({**before, **given, **({"task": task} if task is not None else {})})


def object_config(task: Task, settings: Mapping[str, Any]) -> EosConfig:
    """Return the settings of the measurement alone: what is trained the `Task` decides."""
    for name, value in settings.items():
        if value not in (None, (), []) and name in _OF_THE_TASK:
            raise LastbitError(f"{name} belongs to built-in tasks: set it in your Task")
    given = {name: value for name, value in settings.items() if value not in (None, (), [])}
    config = validated(EosConfig, {**given, "task": "object.py:task"}, flag="--")
    return config.model_copy(update={"task": task.name})


_OF_THE_TASK = (
    *AXES,
    "model",
    "activation",
    "loss",
    "optimizer",
    "nesterov",
    "schedule",
    "train_size",
    "batch_size",
    "data_root",
)


def _rehearse(task: Task, cell: Cell, config: EosConfig, device: torch.device) -> None:
    """Take one measured step, so that what no training would survive is said before a folder is made."""
    task.check()
    steps = min(config.steps or task.total_steps, task.total_steps)
    if config.every > steps:
        raise LastbitError(
            f"--every = {config.every}: the training has {steps} steps, so nothing would be measured; write at most "
            f"{steps}"
        )
    short = config.model_copy(update={"steps": 1, "every": 1, "twins": min(config.twins, 1)})
    name = f"{task.name} ({cell.label})" if cell.label else task.name
    with first_step(name), suitable_threads(task.model, task.batch_size):
        follow(replace(task, epochs=1), short, device=device, looks=False)


def _facts(
    task: str | Task | None, config: EosConfig, sweep: list[tuple[Cell, Task]], where: dict[str, Any]
) -> dict[str, Any]:
    """Return what `study.json` keeps of the study."""
    built = sweep[0][1]
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in config.model_dump().items()}
    spec: dict[str, Any] = {"eos": settings, "fingerprint": fingerprint(*(task for _, task in sweep))}
    command = eos_command(config)
    if isinstance(task, Task):
        spec["object"] = task.name
        given = {name: value for name, value in settings.items() if value not in (None, []) and name != "task"}
        command = f"lb.eos(<Task {task.name!r}>, {', '.join(f'{k}={v!r}' for k, v in given.items())})"
    return {
        "kind": "eos",
        "spec": spec,
        "command": command,
        "task": {
            "name": built.name,
            "settings": dict(built.settings),
            "train_size": len(built.train),
            "batch_size": built.batch_size,
            "full_batch": built.batch_size >= len(built.train),
            "steps": min(config.steps or built.total_steps, built.total_steps),
        },
        "cells": [{**cell.model_dump(), "settings": dict(cell_task.settings)} for cell, cell_task in sweep],
        "environment": where,
    }
