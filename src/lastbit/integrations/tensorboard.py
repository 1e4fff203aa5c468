"""TensorBoard: a folder for a study, a folder in it for each run; a sink for the monitor.

Scalars are float32 there. What is logged again takes the place of what was: the event files of before are removed, by
the ending that only these have, and `purge_step` tells a TensorBoard that has read them already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError
from lastbit.integrations.library import Progress, forgiving, imported
from lastbit.integrations.logged import LoggedRun, logged
from lastbit.store import write_json
from lastbit.studies.frame.folders import is_part_of_study

if TYPE_CHECKING:
    from lastbit.curvature import StabilityRecord
    from lastbit.studies.frame.study import Study

__all__ = ["send", "sink"]

_ENDING = ".lastbit"
"""Of the names of the event files that are written here."""


def send(study: Study[Any], *, project: str | None, at: str | None, progress: Progress) -> str:
    """Write a study as event files, its report and JSON beside them; see `lastbit.integrations.log`.

    Raises:
        LastbitError: TensorBoard is not installed, a project was named, or the folder cannot be written.
    """
    if project is not None:
        raise LastbitError(f"TensorBoard has no projects, got {project!r}: name a folder with --at")
    if at is not None and "://" in at:
        raise LastbitError(f"TensorBoard's files go to a folder, got {at}: name one with --at")
    library = imported("torch.utils.tensorboard", "tensorboard")
    told, root = logged(study), Path(at or "runs")
    folder = root / told.name
    if is_part_of_study(folder / "result.json", [study.path]):
        raise LastbitError(
            f"{folder} is a study, which would be overwritten: name another folder than {root} with --at"
        )
    try:
        with _Written(library, folder) as writer:
            writer.add_text("verdict", "\n\n".join((told.verdict, told.advice, f"    {told.command}")), 0)
            _add(writer, told.numbers, 0)
        for done, run in enumerate(told.runs):
            progress(done, len(told.runs))
            with _Written(library, folder / run.name) as writer:
                _add_run(writer, run)
        write_json(folder / "result.json", study.to_json())
    except OSError as error:
        raise LastbitError(
            f"cannot write to {root} ({error.strerror or error}): name another folder with --at"
        ) from None
    study.report(folder / "report.html")
    return f"{folder}: tensorboard --logdir {root} shows it"


class _Written:
    """A writer of TensorBoard's; once its file is whole, those that were written there before are removed."""

    def __init__(self, library: Any, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "no permission")
        self._before = [path for path in folder.iterdir() if path.name.endswith(_ENDING)]
        self._writer = library.SummaryWriter(str(folder), purge_step=0, filename_suffix=_ENDING)

    def __enter__(self) -> Any:
        return self._writer

    def __exit__(self, *raised: object) -> None:
        self._writer.close()
        if not any(raised):
            for path in self._before:
                path.unlink(missing_ok=True)


def _add_run(writer: Any, run: LoggedRun) -> None:
    writer.add_text("settings", "\n\n".join(f"{name}: {value}" for name, value in run.settings.items()), 0)
    for name, points in run.series.items():
        for step, value in points:
            writer.add_scalar(name, value, step)
    _add(writer, run.numbers, run.selected)


def _add(writer: Any, numbers: Mapping[str, float], step: int) -> None:
    for name, value in numbers.items():
        writer.add_scalar(name, value, step)


def sink(writer: Any) -> Callable[[StabilityRecord], None]:
    """Return a sink of the monitor that writes each record's numbers.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`, which stays the caller's to close.

    Raises:
        LastbitError: it is no such writer.
    """
    if not callable(getattr(writer, "add_scalar", None)):
        raise LastbitError(f"tensorboard.sink({writer!r}): give a torch.utils.tensorboard.SummaryWriter")
    return forgiving("TensorBoard", lambda numbers, step: _add(writer, numbers, step))
