"""Data sets, networks and the `Task` that binds them; every size and default declared.

What needs torch is imported on first use, so that the command line can list settings and choices without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lastbit.core.references import resolved
from lastbit.tasks.config import FILE_MAY_SET, TaskConfig
from lastbit.tasks.models import MODELS
from lastbit.tasks.registry import TASKS
from lastbit.tasks.schedules import SCHEDULES

if TYPE_CHECKING:
    from lastbit.tasks.build import build_task, resolve
    from lastbit.tasks.file_task import load_file_task
    from lastbit.tasks.metric import ACCURACY, MSE, Metric
    from lastbit.tasks.split import Split
    from lastbit.tasks.task import Task

_WITH_TORCH = {
    "ACCURACY": "metric",
    "MSE": "metric",
    "Metric": "metric",
    "Split": "split",
    "Task": "task",
    "build_task": "build",
    "load_file_task": "file_task",
    "resolve": "build",
}

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


def __getattr__(name: str) -> Any:
    """Import a name that needs torch from its module."""
    if name in _WITH_TORCH:
        return resolved(f"lastbit.tasks.{_WITH_TORCH[name]}:{name}")
    raise AttributeError(f"module 'lastbit.tasks' has no attribute {name!r}")
