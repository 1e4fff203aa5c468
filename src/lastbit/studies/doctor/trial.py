"""The program in hand: what is launched for it, with which settings, in which folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lastbit.launch.function import call_seeded
from lastbit.launch.pair.call import Call
from lastbit.launch.pair.outcome import Pair
from lastbit.launch.pair.run import Recorded, run_pair, run_recorded, run_sequential
from lastbit.launch.program import CommandProgram, script_of
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.perturb.base import Identity
from lastbit.studies.doctor.diagnosis import Intervention
from lastbit.studies.doctor.settings import DoctorSettings
from lastbit.studies.frame.kind import DTYPES, Work
from lastbit.studies.frame.program import Program
from lastbit.tasks import Task
from lastbit.tasks.function import TrainingFunction
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

__all__ = ["LAUNCHED", "Trial", "train_once"]

LAUNCHED = ("threads", "deterministic")
"""Changes of an intervention that are settings of how the program is launched; others are made inside it."""


@dataclass(frozen=True)
class Trial:
    """A program that is run twice, as often as is asked for."""

    program: Sequence[str] | Call
    name: str
    launch: Launch
    """How it is run; the folder takes one for each pair."""

    @classmethod
    def of(cls, work: Work[DoctorSettings]) -> Trial:
        """Return the trial that a job is about."""
        settings, source = work.settings, work.program.source
        command = source if isinstance(source, CommandProgram) else None
        reseed = command is not None and command.options["reseed"]
        told = LaunchSettings(
            seed=None if reseed else settings.seed,
            reseed=settings.seed if reseed else None,
            deterministic=settings.deterministic,
            # As it is, a command has the threads that its environment says.
            threads=None if command is not None and not settings.deterministic else torch.get_num_threads(),
        )
        cwd = None if command is None else Path(command.folder)
        launch = Launch(settings=told, folder=work.output(work.job.run), cwd=cwd, timeout=settings.timeout)
        if command is not None:
            return cls(command.words, script_of(command.words), launch)
        dtype, device = DTYPES[settings.dtype], work.device
        name = work.task.name
        call = Call(partial(train_once, work.program, dict(work.job.cell.program), settings.seed, dtype, device), name)
        return cls(call, name, launch)

    def pair(self, name: str, under: Intervention | None = None, until: int | None = None) -> Pair:
        """Run it twice at once, as it is or under an intervention, to the end or to so many equal steps."""
        launch = self.launch.into(name)
        if under is None:
            return run_pair(self.program, launch, until=until)
        outside = {name: value for name, value in under.changes.items() if name in LAUNCHED}
        inside = {name: value for name, value in under.changes.items() if name not in LAUNCHED}
        environment = {**os.environ, **under.environment}
        changed = replace(launch, settings=replace(launch.settings, **outside), environment=environment)
        return run_pair(self.program, changed, changes=inside, until=until)

    def sequential(self, name: str) -> Pair:
        """Run it twice, one run after the other."""
        return run_sequential(self.program, self.launch.into(name))

    def recorded(self, name: str) -> Recorded:
        """Run it once and record every step."""
        return run_recorded(self.program, self.launch.into(name))


def train_once(
    program: Program, changes: Mapping[str, Any], seed: int, dtype: torch.dtype, device: torch.device
) -> Any:
    """Train a Task from its first step to its last, or call a training function; runs in a process of its own."""
    task = program.task(changes)
    if isinstance(task, TrainingFunction):
        return call_seeded(task.function, seed, device)
    assert isinstance(task, Task), "a command is launched as it is"
    training = Training(task, streams(seed), Identity(), device=device, dtype=dtype)
    try:
        with training.active():
            for _ in range(training.total_steps):
                training.step()
    finally:
        training.close()
    return None
