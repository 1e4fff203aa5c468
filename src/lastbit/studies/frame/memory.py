"""The memory format of a study's networks: chosen once, kept in the study, and the same when it is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lastbit.core.errors import LastbitError
from lastbit.store import StudyFolder
from lastbit.studies.frame.progress import GridProgress
from lastbit.tasks import Task
from lastbit.train.memory_format import MEMORY_FORMATS, convolved, faster_format, refusal

__all__ = ["MemoryFormat", "Networks", "choose_format"]

_WORTH_TIMING = 25_000_000
"""Multiply-adds of a batch's convolutions from which the memory format is worth timing: twice those of the digits."""


@dataclass(frozen=True)
class MemoryFormat:
    """The layout of the networks' weights in memory, which decides the order of sums: part of the study."""

    name: str = MEMORY_FORMATS[0]
    reason: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What `study.json` keeps beside the rest of the execution; nothing where networks are as tasks make them."""
        kept = {"memory_format": self.name, "memory_format_reason": self.reason}
        return {} if self.name == MEMORY_FORMATS[0] else kept


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What a study trains.

    Attributes:
        tasks: all of it.
        sample: the one whose steps say best how.
        device: where.
        dtype: of the weights.
    """

    tasks: Sequence[Task]
    sample: Task
    device: torch.device
    dtype: torch.dtype


def choose_format(
    folder: StudyFolder, asked: str | None, networks: Networks, progress: GridProgress, *, measured: bool
) -> MemoryFormat:
    """Return the memory format of a study's networks: as it was begun, as asked, or by a few timed steps.

    Only of networks whose convolutions are worth it are steps timed.

    Args:
        folder: the study, opened to write.
        asked: which; None is for a measurement to decide.
        networks: of the study.
        progress: told what was chosen.
        measured: whether a measurement may; else networks stay as their task makes them.

    Raises:
        LastbitError: another format is asked for than that which the study was begun with, or one that a task cannot
            have.
    """
    before, own = folder.facts.get("execution"), MEMORY_FORMATS[0]
    if before is not None:
        was = MemoryFormat(before.get("memory_format", own), before.get("memory_format_reason", ""))
        if asked not in (None, was.name):
            raise LastbitError(
                f"{folder.path} was begun with --memory-format {was.name}, not {asked}: it decides the order of sums; "
                "leave --memory-format out to resume, or start another study with --out"
            )
        return was
    if asked == own or (asked is None and (not measured or convolved(networks.sample) < _WORTH_TIMING)):
        return MemoryFormat()
    for task in networks.tasks:
        if why := refusal(task, device=networks.device, dtype=networks.dtype):
            if asked is None:
                return MemoryFormat()
            raise LastbitError(f"--memory-format {asked}: {why} ({task.name}): leave it out")
    if asked is not None:
        return MemoryFormat(asked, "as asked")
    progress.event("choosing the memory format by a few measured steps ...")
    name, told = faster_format(networks.sample, device=networks.device, dtype=networks.dtype)
    progress.event(f"weights in {name} ({told})")
    return MemoryFormat(name, f"measured: {told}")
