"""What an audit is asked to be: its settings, checked and rehearsed before a folder is made or touched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError
from lastbit.perturb import make_perturbation
from lastbit.store import StudyFolder
from lastbit.studies.fingerprint import fingerprint
from lastbit.studies.settings import DTYPES, AuditConfig, audit_config, command_line, split_settings
from lastbit.tasks import Task, TaskConfig, resolve
from lastbit.train import Training, streams

__all__ = ["plan", "refuse_changes", "rehearse", "study_facts"]

_SAME_BITS = ("torch", "processor", "vector instructions", "gpu", "cudnn")
"""Facts of the environment without which a resumed study would not continue with the same bits."""


def rehearse(task: Task, config: AuditConfig, device: torch.device) -> None:
    """Take one perturbed step, so that what no run would survive is said before a folder is made.

    Raises:
        LastbitError: the task and the perturbation do not go together, the seeds would all be the same run, or the
            task's own code raised.
    """
    try:
        first = _first_step(task, config, device, seed=0)
        second = _first_step(task, config, device, seed=1) if config.seeds > 1 else None
    except LastbitError:
        raise
    except Exception as error:
        told = " ".join(str(error).split())
        raise LastbitError(
            f"the first training step of {task.name} raised {type(error).__name__}: {told[:300]}"
        ) from error
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
    task: str | Task | None, settings: Mapping[str, Any], resume: Path | None
) -> tuple[TaskConfig | Task, AuditConfig, dict[str, Any] | None]:
    """Work out what is asked for: the settings given, over those of the study to resume, over the defaults."""
    stored: dict[str, Any] | None = None
    if resume is not None:
        with StudyFolder.read(resume) as folder:
            stored = folder.facts
        if stored.get("kind") != "audit":
            raise LastbitError(f"{resume} is a study of kind {stored.get('kind')!r}, not an audit")
    flat = {**settings, **({"task": task} if isinstance(task, str) else {})}
    for_task, for_audit = split_settings(flat)
    spec = (stored or {}).get("spec", {})
    config = audit_config({**spec.get("audit", {}), **for_audit})
    if isinstance(task, Task):
        if for_task:
            raise LastbitError(f"{next(iter(for_task))} belongs to built-in tasks: set it in your Task")
        return task, config, stored
    if spec.get("object"):
        raise LastbitError(f"{resume} audits a Task object ({spec['object']}): resume it from Python, with that object")
    base = spec.get("task", {}) if for_task.get("task") in (None, spec.get("task", {}).get("task")) else {}
    return resolve(validated(TaskConfig, {**base, **for_task}, flag="--")), config, stored


def study_facts(
    source: TaskConfig | Task, built: Task, config: AuditConfig, steps: int, where: dict[str, Any]
) -> dict[str, Any]:
    """Return what `study.json` keeps of a study."""
    spec: dict[str, Any] = {"audit": config.model_dump(), "fingerprint": fingerprint(built)}
    if isinstance(source, Task):
        spec["object"] = source.name
        options = ", ".join(f"{name}={value!r}" for name, value in config.model_dump().items())
        command = f"lb.audit(<Task {source.name!r}>, {options})"
    else:
        spec["task"] = source.model_dump()
        command = command_line(source, config)
    return {
        "kind": "audit",
        "spec": spec,
        "command": command,
        "task": {
            "name": built.name,
            "settings": dict(built.settings),
            "metric": {"name": built.metric.name, "unit": built.metric.unit},
            "train_size": len(built.train),
            "test_size": len(built.test),
            "steps": steps,
            "steps_per_epoch": steps // built.epochs,
        },
        "environment": where,
    }


def refuse_changes(stored: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Refuse to go on with a study under other settings, another task or another machine's arithmetic."""
    for part in {**stored["spec"], **now["spec"]}:
        before, after = stored["spec"].get(part, {}), now["spec"].get(part, {})
        if not (isinstance(before, dict) and isinstance(after, dict)):
            continue
        for name in {**before, **after}:
            if before.get(name) != after.get(name):
                flag = f"--{name.replace('_', '-')}"
                raise LastbitError(
                    f"{folder} was begun with {flag} {before.get(name)}, not {after.get(name)}: "
                    f"leave {flag} out to resume, or start another study with --out"
                )
    if stored["spec"].get("fingerprint") != now["spec"]["fingerprint"]:
        raise LastbitError(
            f"the task of {folder} is no longer the one it was begun with (its initial weights, data or sizes differ): "
            "put the task back as it was, or start another study with --out"
        )
    for name in _SAME_BITS:
        before, after = stored["environment"].get(name), now["environment"].get(name)
        if before != after:
            raise LastbitError(
                f"{folder} was begun with {name} {before!r}, here it is {after!r}, and the bits would differ: "
                "resume it where it was begun, or start another study with --out"
            )
