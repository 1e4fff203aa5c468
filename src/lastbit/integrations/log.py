"""A study sent to a logger: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import choose

if TYPE_CHECKING:
    from lastbit.integrations.library import Progress
    from lastbit.studies.frame.study import Study

__all__ = ["LOGGERS", "log"]

LOGGERS = ("tensorboard", "mlflow", "wandb")


def log(
    study: Study[Any] | str | Path,
    *,
    to: str,
    project: str | None = None,
    at: str | Path | None = None,
    progress: Progress | None = None,
) -> str:
    """Send a study to a logger, finished or as far as it is: its runs' metrics, its numbers, verdict, report and JSON.

    Args:
        study: the study, or its folder.
        to: `tensorboard`, `mlflow` or `wandb`.
        project: MLflow's experiment or W&B's project; `lastbit` by default. TensorBoard has none.
        at: TensorBoard's folder (`runs` by default), MLflow's tracking URI, the folder for W&B's files or the address
            of its server; by default what MLflow and W&B are set to.
        progress: told how many runs are logged, and of how many.

    Returns:
        Where it lies, and what shows it.

    Raises:
        LastbitError: no such logger, its library is not installed, there is no such study, or the place cannot be
            reached or written.

    Example:
        >>> import lastbit as lb
        >>> lb.log("lastbit-studies/audit-digits-001", to="tensorboard")  # doctest: +SKIP
        'runs/audit-digits-001: tensorboard --logdir runs shows it'
    """
    send = resolve_name(f"lastbit.integrations.{choose(to, LOGGERS, 'logger')}:send")
    if isinstance(study, str | Path):
        from lastbit.studies.kinds import open_study

        study = open_study(study)
    where: str = send(study, project=project, at=None if at is None else str(at), progress=progress or _untold)
    return where


def _untold(done: int, total: int) -> None:
    """Tell nobody."""
