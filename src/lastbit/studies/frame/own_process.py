"""A program that is launched in a process of its own, whatever it is: what is run there, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lastbit.core.errors import LastbitError
from lastbit.launch.function import call_seeded
from lastbit.launch.pair.call import Call
from lastbit.launch.program import CommandProgram
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.perturb.base import Identity
from lastbit.studies.frame.kind import DTYPES, Work
from lastbit.studies.frame.program import Program
from lastbit.tasks import Task
from lastbit.tasks.function import TrainingFunction
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

__all__ = ["check_seed", "launch_of", "launchable", "train_once"]


def check_seed(seed: int, program: Program, instead: str) -> None:
    """Refuse a seed that nothing sets.

    Args:
        seed: of the settings.
        program: a command takes it where it says so.
        instead: what to write.

    Raises:
        LastbitError: the command says nothing of it.
    """
    source = program.source
    if isinstance(source, CommandProgram) and seed and not source.seeded:
        raise LastbitError(
            f"--seed {seed}: nothing sets the seed of {program.name}: write {{seed}} where it takes one {instead}"
        )


def launchable(
    program: Program, changes: Mapping[str, Any], name: str, work: Work[Any], *, steps: int = 0
) -> Sequence[str] | Call:
    """Return the words of a command, or a call that trains what is none.

    Args:
        program: what is trained.
        changes: of the task's settings.
        name: by which a call is known.
        work: the job, whose settings have the seed and the format.
        steps: times that a step is called, where a function trains nothing and returns one.
    """
    if isinstance(program.source, CommandProgram):
        return program.source.words
    settings = work.settings
    once = partial(train_once, program, changes, settings.seed, DTYPES[settings.dtype], work.device, steps=steps)
    return Call(once, name)


def launch_of(work: Work[Any]) -> Launch:
    """Return how the programs of a job are run, into its folder: by its seed, threads, determinism and time."""
    settings = work.settings
    command = next((one.source for one in work.programs if isinstance(one.source, CommandProgram)), None)
    reseed = command is not None and command.options["reseed"]
    told = LaunchSettings(
        seed=None if reseed else settings.seed,
        reseed=settings.seed if reseed else None,
        deterministic=settings.deterministic,
        # As it is, a command has the threads that its environment says.
        threads=None if command is not None and not settings.deterministic else torch.get_num_threads(),
    )
    cwd = None if command is None else Path(command.folder)
    return Launch(settings=told, folder=work.output(work.job.run), cwd=cwd, timeout=settings.timeout)


def train_once(
    program: Program, changes: Mapping[str, Any], seed: int, dtype: torch.dtype, device: torch.device, *, steps: int = 0
) -> Any:
    """Train a Task from its first step to its last, or call a training function; runs in a process of its own."""
    task = program.task(changes)
    if isinstance(task, TrainingFunction):
        return call_seeded(partial(_stepped, task.function, steps), seed, device)
    assert isinstance(task, Task), "a command is launched as it is"
    training = Training(task, streams(seed), Identity(), device=device, dtype=dtype)
    try:
        with training.active():
            for _ in range(training.total_steps):
                training.step()
    finally:
        training.close()
    return None


def _stepped(function: Callable[[int], Any], steps: int, seed: int) -> Any:
    """Call a function, and then what it returns, so many times, where that is a step."""
    returned = function(seed)
    if not (steps and callable(returned)):
        return returned
    for _ in range(steps):
        returned()
    return None
