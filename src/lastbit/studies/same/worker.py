"""The runs of a check: the reference, the candidate put onto it, and runs of the reference that measure rounding."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.core.status import RunStatus
from lastbit.launch.command import CommandRun
from lastbit.launch.forced.record import read_about
from lastbit.launch.forced.run import ForcedRun, Side, run_against, run_forced, run_staircase
from lastbit.launch.metrics.read import read_metric
from lastbit.launch.program import CommandProgram
from lastbit.report.formatting import plural
from lastbit.studies.frame.kind import Cell, Plan, Trained, Work
from lastbit.studies.frame.own_process import launch_of, launchable
from lastbit.studies.frame.program import Program, Trainee
from lastbit.studies.same.evidence import Evidence
from lastbit.studies.same.judge import judge, staircase_needed
from lastbit.studies.same.names import is_recorded_alone, names_of_sides
from lastbit.studies.same.result import FinalMetric, Ran
from lastbit.studies.same.settings import SameSettings

__all__ = ["rehearse", "train"]

JITTERS = 4
"""Runs that measure rounding; with --quick one."""


def rehearse(plan: Plan[SameSettings], cell: Cell, task: Trainee) -> None:
    """Read what a candidate is to be held against, before anything is run.

    Raises:
        LastbitError: there is no such file, or it holds no reference.
    """
    if plan.settings.against is not None:
        read_about(Path(plan.settings.against))


def train(work: Work[SameSettings]) -> Trained:
    """Run all that the answer needs, and keep what was compared.

    Raises:
        LastbitError: a program fails by itself, makes no optimizer step, or trains other tensors than the reference.
    """
    began = time.monotonic()
    _check_environment(work)
    run, alone = _forced(work), is_recorded_alone(work.settings, len(work.programs))
    evidence, runs = _evidence(run, alone), tuple(run.became)
    _check_objects(run, work.settings)
    if not (work.settings.quick or work.settings.against or run.timed_out) and staircase_needed(evidence):
        work.say("gradients differ widely: how far they move says whether it is another arithmetic")
        staircase = run_staircase(*_sides(work), launch_of(work).into("staircase"), every=work.settings.every)
        evidence = _evidence(replace(run, staircase=staircase), alone)
        runs += _STAIRCASE
    ran = _ran(work, run, runs, time.monotonic() - began)
    work.files(work.job.run).arrays(evidence.arrays())
    steps = len(evidence.steps)
    record = work.job.record(
        status=RunStatus.OK, seconds=time.monotonic() - began, steps=(steps,), metrics={"steps": [steps]}
    )
    facts = {"evidence": plain(evidence.told()), "ran": plain(ran)}
    said = f"{judge(evidence).answer.replace('_', ' ')}, {plural(steps, 'step')} compared"
    return Trained(records=(record,), facts=facts, said=said)


_STAIRCASE = tuple(f"staircase-{place}" for place in range(1, 5))
"""What `run_staircase` runs: each program, and itself put onto it at moved weights."""


def _forced(work: Work[SameSettings]) -> ForcedRun:
    settings, launch = work.settings, launch_of(work)
    reference, candidate = _sides(work)
    if settings.against is not None:
        return run_against(Path(settings.against), candidate, launch, progress=work.say)
    alone = is_recorded_alone(settings, len(work.programs))
    return run_forced(
        reference,
        candidate,
        launch,
        jitters=1 if settings.quick else JITTERS,
        double=not settings.quick,
        every=settings.every,
        objects=settings.objects,
        control=not (settings.quick or alone),
        record=None if settings.record is None else Path(settings.record),
        progress=work.say,
    )


def _check_environment(work: Work[SameSettings]) -> None:
    """Refuse an environment of the candidate that is the reference's, where nothing else is other.

    Raises:
        LastbitError: it is.
    """
    given, threads = work.settings.environment, launch_of(work).settings.threads
    if not given or work.settings.against is not None or work.programs[0].spec() != work.programs[-1].spec():
        return
    there = dict(os.environ)
    if threads is not None:
        there |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    if all(there.get(name) == value for name, value in given.items()):
        said = " ".join(f"{name}={value}" for name, value in given.items())
        why = f", for it runs with {plural(threads, 'thread')}; write another number" if threads is not None else ""
        raise LastbitError(f"--candidate-env {said} changes nothing: the reference has it already{why}")


def _evidence(run: ForcedRun, alone: bool) -> Evidence:
    """Return what was compared; where a reference is recorded alone, it is held against itself."""
    control = run.candidate if alone else run.control
    return Evidence.of(run.candidate, control=control, jitters=run.jitters, double=run.double, staircase=run.staircase)


def _check_objects(run: ForcedRun, settings: SameSettings) -> None:
    """Refuse names of objects that there are none of, or that hold no tensors.

    Raises:
        LastbitError: one is such a name.
    """
    facts = run.candidate.facts
    for key, said in (("objects not found", "is no variable of"), ("objects without tensors", "holds no tensors in")):
        if names := facts.get(key):
            raise LastbitError(
                f"--objects {' '.join(settings.objects)}: {names[0]} {said} the candidate when its optimizer steps; "
                "name variables that hold modules or tensors, or leave it out"
            )


def _sides(work: Work[SameSettings]) -> tuple[Side, Side]:
    """Return what is run as the reference and as the candidate."""
    both, steps = (work.programs[0], work.programs[-1]), work.settings.steps
    reference, candidate = (launchable(one, {}, one.name, work, steps=steps) for one in both)
    return Side(reference), Side(candidate, work.settings.environment)


def _ran(work: Work[SameSettings], run: ForcedRun, runs: tuple[str, ...], seconds: float) -> Ran:
    reference, candidate = names_of_sides([one.spec() for one in work.programs], work.settings)
    metrics, troubles = _metrics(work.programs, run.became)
    return Ran(
        reference=reference,
        candidate=candidate,
        runs=runs,
        seconds=seconds,
        ended="was ended when the time of --timeout ran out" if run.timed_out else "",
        metrics=metrics,
        troubles=troubles,
    )


def _metrics(
    programs: Sequence[Program], became: Mapping[str, CommandRun]
) -> tuple[tuple[FinalMetric, ...], tuple[str, ...]]:
    """Return the numbers that both end with, and what of them cannot be read."""
    found, troubles = [], []
    source = programs[0].source
    for spec in source.metrics if isinstance(source, CommandProgram) else ():
        values = []
        for role in ("reference", "candidate"):
            ran = became.get(role)
            try:
                if ran is not None:
                    series = read_metric(spec, stdout=ran.stdout, stderr=ran.stderr, folder=Path(), since=0.0)
                    values.append(series.values[-1])
            except LastbitError as error:
                troubles.append(f"{spec.name} of the {role}: {error}.")
        if len(values) == 2:
            found.append(FinalMetric(name=spec.name, reference=values[0], candidate=values[1]))
    return tuple(found), tuple(troubles)
