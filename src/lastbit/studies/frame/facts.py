"""What `study.json` keeps of a study that begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from lastbit.studies.frame.fingerprint import targets_of_test
from lastbit.studies.frame.kind import Cell, Kind, Plan
from lastbit.studies.frame.program import Trainee
from lastbit.studies.frame.result import Result
from lastbit.studies.frame.settings import StudySettings
from lastbit.studies.frame.sources import sources_of
from lastbit.tasks import Task
from lastbit.train.environment import environment

__all__ = ["facts_of"]

S = TypeVar("S", bound=StudySettings)
R = TypeVar("R", bound=Result)


def facts_of(
    kind: Kind[S, R], plan: Plan[S], tasks: Mapping[int, Trainee], prints: Mapping[str, str]
) -> dict[str, Any]:
    """Return what `study.json` keeps.

    Args:
        kind: of study.
        plan: what is asked for.
        tasks: what each cell trains, by its number.
        prints: their fingerprints.
    """
    first = tasks[plan.cells[0].number]
    settings = {name: list(v) if isinstance(v, tuple) else v for name, v in plan.settings.model_dump().items()}
    return {
        "kind": kind.name,
        "spec": {"settings": settings, **_spec(plan), "fingerprint": "-".join(sorted(set(prints.values())))},
        "sources": {name: digest for program in plan.programs for name, digest in sources_of(program).items()},
        "command": kind.command(plan),
        "cells": [_cell_facts(kind, plan, cell, tasks[cell.number]) for cell in plan.cells],
        "task": _task_facts(kind, plan, first),
        **_of_arms(kind, plan, tasks),
        "environment": environment(plan.device),
    }


def _of_arms(kind: Kind[S, R], plan: Plan[S], tasks: Mapping[int, Trainee]) -> dict[str, Any]:
    """Return what is known of what each of several programs trains, as `task` says it of the first."""
    if len(plan.programs) < 2:
        return {}
    return {"tasks": [_task_facts(kind, plan, tasks[cell.number]) for cell in plan.cells if cell.first]}


def _spec(plan: Plan[Any]) -> dict[str, Any]:
    """Return what is kept of the programs: of one what it says of itself, of several `arms`, a list."""
    specs = [program.spec() for program in plan.programs]
    return specs[0] if len(specs) == 1 else {"arms": specs}


def _task_facts(kind: Kind[S, R], plan: Plan[S], task: Trainee) -> dict[str, Any]:
    """Return what is known of what is trained; of a function neither sizes nor what it measures."""
    known: dict[str, Any] = {"name": task.name, "settings": dict(task.settings)}
    if not isinstance(task, Task):
        return known
    return {
        **known,
        "metric": {"name": task.metric.name, "unit": task.metric.unit},
        "metrics": [
            {"name": one.name, "unit": one.unit, "higher_is_better": one.higher_is_better} for one in task.all_metrics
        ],
        "train_size": len(task.train),
        "test_size": len(task.test),
        "test_targets": targets_of_test(task),
        "batch_size": task.batch_size,
        "full_batch": task.batch_size >= len(task.train),
        "steps": kind.steps(plan.settings_of(plan.cells[0]), task),
        "steps_per_epoch": task.steps_per_epoch,
    }


def _cell_facts(kind: Kind[S, R], plan: Plan[S], cell: Cell, task: Trainee) -> dict[str, Any]:
    if not isinstance(task, Task):
        return {**asdict(cell), "task_settings": dict(task.settings)}
    return {
        **asdict(cell),
        "epochs": task.epochs,
        "steps": kind.steps(plan.settings_of(cell), task),
        "batch_size": task.batch_size,
        "task_settings": dict(task.settings),
    }
