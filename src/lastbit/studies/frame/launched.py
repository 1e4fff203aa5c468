"""One run of what lastbit cannot look into, a training function or a command, for any kind of study that repeats it."""

from __future__ import annotations

from pathlib import Path
from traceback import extract_tb
from typing import Any

import torch

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.core.status import Role
from lastbit.core.words import typed
from lastbit.launch.command import CommandRun, run_command
from lastbit.launch.function import FunctionRun, run_function
from lastbit.launch.metrics.read import read_metric
from lastbit.launch.metrics.resolution import hidden_below
from lastbit.launch.metrics.series import chosen
from lastbit.launch.program import CommandProgram
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.perturb.base import Perturbation
from lastbit.perturb.registry import make_perturbation
from lastbit.studies.frame.kind import Job
from lastbit.tasks.function import TrainingFunction
from lastbit.tasks.sources import is_installed
from lastbit.train.jobs import RunFailed, one_line

__all__ = [
    "NoMetric",
    "NoStep",
    "call_to_end",
    "is_first",
    "launch_settings",
    "perturbation_for",
    "read_metrics",
    "run_to_end",
    "versions_of",
]


class NoMetric(RunFailed):
    """A run that came to a good end, and of which the metric cannot be read."""


class NoStep(RunFailed):
    """A run in which no optimizer took a step, where one was expected to."""


def perturbation_for(job: Job, perturb: str) -> Perturbation:
    """Return the perturbation of a run; each seed and twin draws from a stream of its own."""
    return make_perturbation(perturb, job.twin, seed=stream_seed(job.cell.seed, "perturbation"))


def is_first(job: Job) -> bool:
    """Tell whether it is the very first run of a program: where that fails, no other would do better."""
    return job.cell.first and job.role == Role.BASE


def launch_settings(program: CommandProgram, job: Job, perturb: str, every: int | None = None) -> LaunchSettings:
    """Return what a command is launched with.

    Args:
        program: the command.
        job: the run.
        perturb: name of the perturbation.
        every: steps between two records, a power of two; as many as keep recording below 3% of the time by default.
    """
    return LaunchSettings(
        perturbation=perturbation_for(job, perturb),
        seed=None if program.options["reseed"] else job.cell.seed,
        reseed=job.cell.seed if program.options["reseed"] else None,
        deterministic=program.options["deterministic"],
        threads=torch.get_num_threads() if program.options["deterministic"] else None,
        every=every,
    )


def run_to_end(program: CommandProgram, settings: LaunchSettings, folder: Path, *, first: bool) -> CommandRun:
    """Run a command once, to a good end.

    Args:
        program: the command.
        settings: what it is launched with.
        folder: takes what it prints and the records.
        first: whether it is the first run of the study.

    Raises:
        LastbitError: it failed and is the first, or no optimizer took a step.
        NoStep: no optimizer took a step, in another run than the first.
        RunFailed: it failed; says with which code, and its last line.
    """
    timeout = program.options["timeout"]
    launch = Launch(settings=settings, folder=folder, cwd=Path(program.folder), timeout=timeout)
    ran = run_command(program.words, launch)
    last, failed = ran.last_line, ""
    if ran.timed_out:
        failed = f"{program.name} ran longer than --timeout {typed(timeout)}: {last}"
    elif ran.exit_code:
        failed = f"{program.name} ended with {ran.ended_with}: {last}"
    elif not (first or ran.processes):
        raise NoStep(f"{program.name} made no optimizer step, though the first run did: {last}")
    if failed:
        raise LastbitError(f"{failed} (all of it: {ran.output})") if first else RunFailed(failed)
    ran.check()
    return ran


def call_to_end(
    task: TrainingFunction, job: Job, perturbation: Perturbation, *, every: int | None = None
) -> FunctionRun:
    """Call a training function once, every optimizer in it perturbed.

    Args:
        task: the function.
        job: the run.
        perturbation: of every optimizer's steps.
        every: as for `launch_settings`.

    Raises:
        LastbitError: no optimizer took a step, or the first run of the study raised: none would do better.
        Exception: whatever the function raises in another run.
    """
    try:
        return run_function(task.function, job.cell.seed, perturbation, name=task.name, every=every)
    except LastbitError:
        raise
    except (Exception, SystemExit) as error:
        if not is_first(job):
            raise
        raise LastbitError(f"{task.name} raised {one_line(error)}{_place_in_user_code(error)}") from error


def _place_in_user_code(error: BaseException) -> str:
    """Return the deepest line of the traceback that is nobody's package, in words."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not is_installed(Path(frame.filename))]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def versions_of(ran: CommandRun) -> dict[str, str]:
    """Return the versions of what a command computed with, on which its bits depend."""
    return {name: said for name, said in ran.processes[0].versions.items() if name != "lastbit"}


def read_metrics(
    program: CommandProgram, ran: CommandRun, since: float
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return the metrics of a run by name, and name, unit, direction of each, and what the printed digits hide.

    Args:
        program: names them.
        ran: the run.
        since: when it began, `time.time()`.

    Raises:
        LastbitError: one cannot be read.
    """
    metrics, described = {}, []
    for spec, one in zip(program.metrics, program.described(), strict=True):
        series = read_metric(spec, stdout=ran.stdout, stderr=ran.stderr, folder=Path(program.folder), since=since)
        metrics[spec.name] = chosen(series, spec.of, spec.higher_is_better)
        unit = series.unit if series.unit == "%" else one["unit"]
        # Of a count out of a total nothing is hidden.
        counted = series.unit.startswith("/") and all(value.is_integer() for value in series.values)
        step = None if counted else hidden_below(series.printed, metrics[spec.name])
        # Where trailing zeros are left out, the longest says how many there are.
        digits = None if step is None else max(series.digits)
        described.append({**one, "unit": unit, "digits": digits, "hidden_below": step})
    return metrics, described
