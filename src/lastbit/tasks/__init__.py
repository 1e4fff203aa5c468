"""Data sets, networks and the `Task` that binds them; every size and default declared.

`Task` needs torch, and is imported on first use, so that the command line can list settings and choices without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lastbit.tasks.config import TaskConfig

if TYPE_CHECKING:
    from lastbit.tasks.task import Task

__all__ = ["Task", "TaskConfig"]


def __getattr__(name: str) -> Any:
    """Import `Task`."""
    if name == "Task":
        from lastbit.tasks.task import Task

        return Task
    raise AttributeError(f"module 'lastbit.tasks' has no attribute {name!r}")
