"""What an audit is asked to be: its settings, checked and rehearsed before a folder is made or touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError
from lastbit.perturb import make_perturbation
from lastbit.studies.frame.fingerprint import fingerprint
from lastbit.studies.frame.settings import DTYPES, AuditConfig, audit_config, command_line, split_settings
from lastbit.tasks import Task, TaskConfig, resolve
from lastbit.train import Training, streams

__all__ = ["first_step", "plan", "rehearse", "study_facts", "task_facts"]


@contextmanager
def first_step(name: str) -> Iterator[None]:
    """Say in one line what the first training step of the task `name` raised, as an error of that task.

    Raises:
        LastbitError: the step raised anything.
    """
    try:
        yield
    except LastbitError:
        raise
    except Exception as error:
        told = " ".join(str(error).split())
        raise LastbitError(f"the first training step of {name} raised {type(error).__name__}: {told[:300]}") from error


def rehearse(task: Task, config: AuditConfig, device: torch.device) -> None:
    """Take one perturbed step, so that what no run would survive is said before a folder is made.

    Raises:
        LastbitError: the task and the perturbation do not go together, the seeds would all be the same run, or the
            task's own code raised.
    """
    with first_step(task.name):
        first = _first_step(task, config, device, seed=0)
        second = _first_step(task, config, device, seed=1) if config.seeds > 1 else None
    if first == second:
        raise LastbitError(
            f"--vary {config.vary}: the seeds of {task.name} differ in nothing, for it has no augmentation, dropout or "
            "other draw to vary; choose another of all, order, init, augment"
        )


def _first_step(task: Task, config: AuditConfig, device: torch.device, seed: int) -> tuple[bytes, float]:
    """Return the weights after the first perturbed step of a seed, and its loss."""
    perturbation = make_perturbation(config.perturb, min(1, config.perturbations - 1), seed=0, total_steps=1)
    training = Training(task, streams(seed, config.vary), perturbation, device=device, dtype=DTYPES[config.dtype])
    try:
        with training.active():
            training.step()
        return training.weights().tobytes(), float(training.losses[0])
    finally:
        training.close()


def plan(
    task: str | Task | None, settings: Mapping[str, Any], stored: Mapping[str, Any] | None
) -> tuple[TaskConfig | Task, AuditConfig]:
    """Work out what is asked for: the settings given, over those of the study to resume, over the defaults."""
    flat = {**settings, **({"task": task} if isinstance(task, str) else {})}
    for_task, for_audit = split_settings(flat)
    spec = (stored or {}).get("spec", {})
    config = audit_config({**spec.get("audit", {}), **for_audit})
    if isinstance(task, Task):
        if for_task:
            raise LastbitError(f"{next(iter(for_task))} belongs to built-in tasks: set it in your Task")
        return task, config
    if spec.get("object"):
        raise LastbitError(f"this study audits a Task object ({spec['object']}): resume it from Python, with it")
    base = spec.get("task", {}) if for_task.get("task") in (None, spec.get("task", {}).get("task")) else {}
    return resolve(validated(TaskConfig, {**base, **for_task}, flag="--")), config


def study_facts(source: TaskConfig | Task, built: Task, config: AuditConfig, where: dict[str, Any]) -> dict[str, Any]:
    """Return what `study.json` keeps of an audit."""
    spec: dict[str, Any] = {"audit": config.model_dump(), "fingerprint": fingerprint(built)}
    if isinstance(source, Task):
        spec["object"] = source.name
        options = ", ".join(f"{name}={value!r}" for name, value in config.model_dump().items())
        command = f"lb.audit(<Task {source.name!r}>, {options})"
    else:
        spec["task"] = source.model_dump()
        command = command_line("audit", {**source.model_dump(), **config.model_dump()})
    return {
        "kind": "audit",
        "spec": spec,
        "command": command,
        "task": task_facts(built),
        "environment": where,
    }


def task_facts(built: Task) -> dict[str, Any]:
    """Return what `study.json` keeps of the task that is trained."""
    return {
        "name": built.name,
        "settings": dict(built.settings),
        "metric": {"name": built.metric.name, "unit": built.metric.unit},
        "train_size": len(built.train),
        "test_size": len(built.test),
        "steps": built.total_steps,
        "steps_per_epoch": built.steps_per_epoch,
    }
