"""Data sets, networks and the `Task` that binds them; every size and default declared."""

from __future__ import annotations

from lastbit.tasks.build import build_task, resolve
from lastbit.tasks.config import FILE_MAY_SET, TaskConfig
from lastbit.tasks.file_task import load_file_task
from lastbit.tasks.metric import ACCURACY, MSE, Metric
from lastbit.tasks.models import MODELS
from lastbit.tasks.registry import TASKS
from lastbit.tasks.schedules import SCHEDULES
from lastbit.tasks.split import Split
from lastbit.tasks.task import Task

__all__ = [
    "ACCURACY",
    "FILE_MAY_SET",
    "MODELS",
    "MSE",
    "SCHEDULES",
    "TASKS",
    "Metric",
    "Split",
    "Task",
    "TaskConfig",
    "build_task",
    "load_file_task",
    "resolve",
]
