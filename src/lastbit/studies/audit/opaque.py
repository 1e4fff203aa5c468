"""Runs of what lastbit cannot look into: training functions and commands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.core.status import Role, RunStatus
from lastbit.launch.command import CommandRun, run_command
from lastbit.launch.function import run_function
from lastbit.launch.metrics.read import read_metric
from lastbit.launch.metrics.series import chosen
from lastbit.launch.metrics.stdout import found
from lastbit.launch.program import CommandProgram
from lastbit.launch.settings import LaunchSettings
from lastbit.perturb.registry import make_perturbation
from lastbit.report.formatting import number, plural, seconds
from lastbit.studies.audit.settings import AuditSettings
from lastbit.studies.frame.kind import Trained, Work
from lastbit.tasks.function import TrainingFunction

__all__ = ["call", "launch"]


def call(work: Work[AuditSettings], task: TrainingFunction) -> Trained:
    """Call a training function once, every optimizer in it perturbed."""
    job, began = work.job, time.perf_counter()
    stream = stream_seed(job.cell.seed, "perturbation")
    perturbation = make_perturbation(work.settings.perturb, job.twin, seed=stream)
    ran = run_function(task.function, job.cell.seed, perturbation, name=task.name)
    measured = task.measured(ran.returned)
    predictions = {} if measured.predictions_N is None else {"predictions": measured.predictions_N}
    work.files(job.run).arrays({**ran.arrays, **predictions})
    finite = bool(np.isfinite(ran.arrays["weights_final"]).all())
    described = [{"name": name, "unit": "", "higher_is_better": True} for name in measured.metrics]
    return _trained(
        work,
        measured.metrics,
        {"metrics": described, "steps": ran.steps, "perturbed": ran.perturbed},
        took=time.perf_counter() - began,
        message="" if finite else "weights are not finite at the end",
    )


def launch(work: Work[AuditSettings], program: CommandProgram) -> Trained:
    """Run a command once, every optimizer in its processes perturbed, and read what it measured.

    What it printed and what was recorded of its steps stays in the study's folder.

    Raises:
        LastbitError: no metric is named, it cannot be read, or no optimizer took a step.
        RuntimeError: the command failed; says with which code, and its last line.
    """
    job, folder = work.job, work.output(work.job.run)
    stream = stream_seed(job.cell.seed, "perturbation")
    settings = LaunchSettings(
        perturbation=make_perturbation(work.settings.perturb, job.twin, seed=stream),
        seed=None if program.options["reseed"] else job.cell.seed,
        reseed=job.cell.seed if program.options["reseed"] else None,
        deterministic=program.options["deterministic"],
        threads=torch.get_num_threads(),
    )
    since = time.time()
    ran = run_command(
        program.words, settings=settings, folder=folder, cwd=Path(program.folder), timeout=program.options["timeout"]
    )
    said = ran.last_lines.strip().splitlines()
    last = said[-1].strip() if said else "it printed nothing"
    if ran.timed_out:
        raise RuntimeError(f"it ran longer than --timeout {seconds(program.options['timeout'])}: {last}")
    if ran.exit_code:
        what = f"{program.name} ended with exit code {ran.exit_code}: {last}"
        # Where the very first run fails, no other would do better.
        first = job.cell.number == 0 and job.role == Role.BASE
        raise LastbitError(f"{what} (all of it: {ran.stderr})") if first else RuntimeError(what)
    ran.check()
    text = ran.stdout.read_bytes().decode(errors="replace")
    if not program.metrics:
        raise LastbitError(_choose_one(text, folder))
    metrics, described = {}, []
    for spec, one in zip(program.metrics, program.described(), strict=True):
        series = read_metric(spec, stdout=text, folder=Path(program.folder), since=since)
        metrics[spec.name] = chosen(series, spec.of, spec.higher_is_better)
        digits = min(series.digits, default=None)
        described.append({**one, "unit": series.unit if series.unit == "%" else one["unit"], "digits": digits})
    work.files(job.run).arrays(_records(ran))
    facts = {"metrics": described, "steps": ran.steps, "perturbed": ran.perturbed}
    return _trained(work, metrics, facts, took=ran.seconds)


def _choose_one(text: str, folder: Path) -> str:
    """Return the message of an audit that was given no metric: what there is, with ready-made flags."""
    there = found(text)
    if not there:
        return (
            f"which number is the result? The output ({folder / 'stdout.txt'}) shows none: write --metric-file "
            "PATH:key.path, --metric-tag TAG or --metric-mlflow KEY"
        )
    listed = "; ".join(f"{one.flag} (last: {one.value}, {plural(one.count, 'value')})" for one in there)
    return f"which number is the result? Add one of these and --better higher or lower: {listed}"


def _records(ran: CommandRun) -> dict[str, np.ndarray[Any, Any]]:
    """Return what was recorded of the steps: process, optimizer, step and checksum of the weights, and the sketches."""
    sums = ran.checksums
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "record_key": np.array(list(sums), dtype=np.int64).reshape(-1, 3),
        "record_checksum": np.array([int(one, 16) for one in sums.values()], dtype=np.uint64),
    }
    for process, one in enumerate(ran.processes):
        for optimizer in one.optimizers:
            if optimizer.sketches is not None:
                kept = optimizer.sketches.arrays()
                arrays |= {f"sketch_{process}_{optimizer.index}_{name}": value for name, value in kept.items()}
    return arrays


def _trained(
    work: Work[AuditSettings], metrics: Mapping[str, float], facts: dict[str, Any], *, took: float, message: str = ""
) -> Trained:
    """Return what is known of a run: its metrics, and `facts` on it (`metrics` described, `steps`, `perturbed`)."""
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
    said = message or f"{name} {number(value, 4, facts['metrics'][0]['unit'])}"
    return Trained(records=(record,), facts=facts, said=said)
