"""The text that a program of a study is made of."""

from __future__ import annotations

import os
from pathlib import Path

from lastbit.launch.program import CommandProgram
from lastbit.launch.scripts import module_folders, scripts_of
from lastbit.studies.frame.program import Program
from lastbit.tasks import TaskConfig
from lastbit.tasks.sources import local_sources

__all__ = ["folder_of", "sources_of"]


def sources_of(program: Program) -> dict[str, str]:
    """Return digests of the file of a task or the scripts of a command, and of the local modules that they import."""
    if program.file is not None:
        path = _file_of(program.file)
        return local_sources([path], base=path.parent)
    if not isinstance(program.source, CommandProgram):
        return {}
    folder = Path(program.source.folder)
    scripts = scripts_of(program.source.words, folder)
    return local_sources(scripts, base=folder, folders=module_folders(scripts, folder, os.environ))


def folder_of(program: Program) -> Path:
    """Return the folder that the paths of `sources_of` are relative to."""
    if program.file is not None:
        return _file_of(program.file).parent
    return Path(program.source.folder).resolve() if isinstance(program.source, CommandProgram) else Path()


def _file_of(config: TaskConfig) -> Path:
    return Path(config.task.rpartition(":")[0]).expanduser().resolve()
