"""Runs of what lastbit cannot look into: training functions and commands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.launch.arrays import record_arrays
from lastbit.launch.command import CommandRun
from lastbit.launch.kept import KeptRun, keep, kept_run, release
from lastbit.launch.metrics.read import written_after
from lastbit.launch.metrics.stdout import found
from lastbit.launch.program import CommandProgram
from lastbit.report.formatting import number, plural
from lastbit.studies.audit.settings import AuditSettings
from lastbit.studies.frame.kind import Trained, Work
from lastbit.studies.frame.launched import (
    NoMetric,
    call_to_end,
    is_first,
    launch_settings,
    perturbation_for,
    read_metrics,
    run_to_end,
    versions_of,
)
from lastbit.studies.frame.weighing import Weigher
from lastbit.tasks.function import TrainingFunction
from lastbit.train.weighed import of_weights

__all__ = ["call", "launch", "weigher"]

G = TypeVar("G", bound=AuditSettings)


def weigher(work: Work[G]) -> Weigher:
    """Return what weighs the networks of a run, of a Task or of a function."""
    settings, job = work.settings, work.job
    return Weigher(work.files(job.run), job.role, settings.keep_weights, lends=settings.perturbations > 1)


def call(work: Work[G], task: TrainingFunction) -> Trained:
    """Call a training function once, every optimizer in it perturbed."""
    job, began = work.job, time.perf_counter()
    perturbation = perturbation_for(job, work.settings.perturb)
    ran = call_to_end(task, job, perturbation)
    measured = task.measured(ran.returned)
    predictions = {} if measured.predictions_N is None else {"predictions": measured.predictions_N}
    weights = of_weights(ran.first, ran.final, weigher(work))
    work.files(job.run).arrays({**ran.arrays, **weights, **predictions})
    described = [{"name": name, "unit": "", "higher_is_better": True} for name in measured.metrics]
    return _trained(
        work,
        measured.metrics,
        {"metrics": described, "steps": ran.steps, "perturbed": ran.perturbed},
        took=time.perf_counter() - began,
        message="" if ran.finite else "weights are not finite at the end",
    )


def launch(work: Work[G], program: CommandProgram) -> Trained:
    """Run a command once, every optimizer in its processes perturbed, and read what it measured.

    What it printed and what was recorded of its steps stays in the study's folder. The first run of a study is kept
    until its metric is read, and is not run again for another metric.

    Raises:
        LastbitError: of the first run: it failed, no metric is named, or none can be read; of any run: no optimizer
            took a step.
        RunFailed: the command failed, which says with which code and its last line.
        NoMetric: its metric cannot be read.
    """
    job, folder, cwd = work.job, work.output(work.job.run), Path(program.folder)
    settings, first = launch_settings(program, job, work.settings.perturb), is_first(job)
    kept, how = (kept_run(program.words, folder, settings, cwd) if first else None), ""
    if kept is not None:
        how = "read from the kept run"
        newer = [spec.flag for spec in program.metrics if written_after(spec, cwd, kept.ended)]
        if newer:
            kept, how = None, f"run again, for what {newer[0]} reads was written to since"
    if kept is None:
        release(folder)
        began = time.time()
        ran = run_to_end(program, settings, folder, first=first)
        kept = keep(ran, folder, settings, cwd, began, time.time()) if first else KeptRun(ran, began, time.time())
    ran = kept.run
    if not program.metrics:
        raise LastbitError(_choose_one(ran))
    try:
        metrics, described = read_metrics(program, ran, kept.began)
    except LastbitError as error:
        said = f"{program.name}: {error}" if len(work.programs) > 1 else str(error)
        if first:
            raise LastbitError(f"{said} ({_KEPT})") from None
        raise NoMetric(said) from None
    work.files(job.run).arrays(record_arrays(ran.processes))
    release(folder)
    facts = {"metrics": described, "steps": ran.steps, "perturbed": ran.perturbed}
    facts["versions"] = versions_of(ran)
    return _trained(work, metrics, facts, took=ran.seconds, how=how)


_KEPT = "the run is kept: the same command with another flag goes on from it"


def _choose_one(ran: CommandRun) -> str:
    """Return the message of an audit that was given no metric: what there is, with ready-made flags."""
    there = found(ran.stdout) or found(ran.stderr)
    if not there:
        why = f"The output ({ran.stdout}) shows none that could be: write"
        if not (ran.stdout.stat().st_size or ran.stderr.stat().st_size):
            why = "The command printed nothing: let it print its result, as in 'val_acc: 0.91', or write"
        flags = "--metric-file PATH:key.path, --metric-tag TAG or --metric-mlflow KEY"
        return f"which number is the result? {why} {flags} ({_KEPT})"
    width = max(len(one.flag) for one in there)
    lines = [f"  {one.flag:<{width}}  last {one.value} of {plural(one.count, 'value')}: {one.line}" for one in there]
    ask = f"which number is the result? Add one of the flags listed, such as {there[0].flag}, and --better higher or"
    return "\n".join([f"{ask} lower ({_KEPT})", *lines])


def _trained(
    work: Work[G],
    metrics: Mapping[str, float],
    facts: dict[str, Any],
    *,
    took: float,
    message: str = "",
    how: str = "",
) -> Trained:
    """Return what is known of a run: its metrics, and `facts` on it (`metrics` described, `steps`, `perturbed`).

    Args:
        work: the job.
        metrics: the values.
        facts: on the run.
        took: seconds.
        message: why it did not end well.
        how: where the values come from, if not from a run just made.
    """
    job = work.job
    record = job.record(
        status=RunStatus.DIVERGED if message else RunStatus.OK,
        message=message,
        seconds=took,
        steps=(facts["steps"],),
        metrics={name: [value] for name, value in metrics.items()},
    )
    if not job.twin:  # of an unperturbed run it says nothing
        facts.pop("perturbed")
    name, value = next(iter(metrics.items()))
    said = message or f"{name} {number(value, 4, facts['metrics'][0]['unit'])}" + (f", {how}" if how else "")
    return Trained(records=(record,), facts=facts, said=said)
