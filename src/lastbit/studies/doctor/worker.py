"""One examination: a pair in lock step; where it is equal, a pair one after the other; where not, the confirmation."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.core.status import RunStatus
from lastbit.launch.pair.against import check_alike, held_against
from lastbit.launch.pair.outcome import Pair
from lastbit.launch.pair.recorded import load_record, read_steps, save_record
from lastbit.report.formatting import plural
from lastbit.studies.doctor.clocks import deciding
from lastbit.studies.doctor.compare import changed_between, check_ran, holds_under, outcome_of, source_line
from lastbit.studies.doctor.confirm import confirmed_of
from lastbit.studies.doctor.diagnose import diagnose
from lastbit.studies.doctor.findings import Outcome, Tried
from lastbit.studies.doctor.left_behind import first_against_later
from lastbit.studies.doctor.settings import DoctorSettings
from lastbit.studies.doctor.trial import Trial
from lastbit.studies.frame.kind import Cell, Plan, Trained, Work
from lastbit.studies.frame.program import Trainee

__all__ = ["rehearse", "train"]


def rehearse(plan: Plan[DoctorSettings], cell: Cell, task: Trainee) -> None:
    """Read the record that a run is to be held against, before anything is run.

    Raises:
        LastbitError: there is none, or it is another version's.
    """
    if plan.settings.against is not None:
        load_record(Path(plan.settings.against))


def train(work: Work[DoctorSettings]) -> Trained:
    """Run the program as often as the answer needs, and keep what was found.

    Raises:
        LastbitError: the program fails by itself, makes no optimizer step, or is not the one of the record.
    """
    began, trial = time.monotonic(), Trial.of(work)
    tried: tuple[Tried, ...] = ()
    if work.settings.record or work.settings.against:
        outcomes = [_recorded(trial, work.settings)]
    else:
        outcomes, tried = _examined(trial, work)
    last = outcomes[-1]
    work.files(work.job.run).arrays({"steps": np.array([one.steps for one in outcomes])})
    record = work.job.record(
        status=RunStatus.OK, seconds=time.monotonic() - began, steps=(last.steps,), metrics={"steps": [last.steps]}
    )
    facts = {"outcomes": plain(outcomes), "tried": plain(tried)}
    said = f"equal in {plural(last.steps, 'step')}" if last.equal else f"differs after {plural(last.steps, 'step')}"
    return Trained(records=(record,), facts=facts, said=said)


def _examined(trial: Trial, work: Work[DoctorSettings]) -> tuple[list[Outcome], tuple[Tried, ...]]:
    since = time.time()
    pair = trial.pair("lock-step")
    check_ran(trial.name, pair, trial.launch.timeout)
    if pair.differences:
        return _differing(trial, "lock step", pair, work)
    outcomes = [outcome_of("lock step", pair, None, settings={})]
    if pair.timed_out:
        return outcomes, ()
    later = trial.sequential("in-turn")
    check_ran(trial.name, later, trial.launch.timeout)
    if later.differences:
        found, tried = _differing(trial, "one after the other", later, work)
        return [*outcomes, *found], tried
    records = trial.launch.folder / "in-turn" / "first" / "records"
    settings = holds_under(records)
    equal = outcome_of("one after the other", later, None, settings=settings)
    clocks = map(source_line, deciding(read_steps(records)))
    outcomes.append(replace(equal, clocks=tuple(line for line in clocks if line is not None)))
    cwd = trial.launch.cwd or Path.cwd()
    other = first_against_later(pair, later, records=records, cwd=cwd, since=since, settings=settings)
    return [*outcomes, other] if other is not None else outcomes, ()


def _differing(
    trial: Trial, how: str, pair: Pair, work: Work[DoctorSettings]
) -> tuple[list[Outcome], tuple[Tried, ...]]:
    diagnosis = diagnose(pair)
    tapes = [tape for one in pair.differences for tape in one.tapes if tape is not None]
    settings = {**tapes[0].process.versions, **tapes[0].process.settings} if tapes else {}
    tried: tuple[Tried, ...] = ()
    if work.settings.runs and diagnosis is not None and diagnosis.cause is not None:
        causes = (diagnosis.cause, *diagnosis.others)
        found = pair.differences[0].count
        tried = confirmed_of(trial, causes, work.settings.runs, found=found, say=work.say)
        told = next((one.cause for one in tried if one.fits), diagnosis.cause.id)
        diagnosis = replace(diagnosis, cause=next(cause for cause in causes if cause.id == told))
    return [outcome_of(how, pair, diagnosis, settings=settings)], tried


def _recorded(trial: Trial, settings: DoctorSettings) -> Outcome:
    """Run once; write the record that was asked for, hold it against the one that was named."""
    one = trial.recorded("recorded")
    alone = Pair((None, one.run), held_against(one.record, one.record), one.run.seconds, one.run.timed_out)
    check_ran(trial.name, alone, trial.launch.timeout)
    if settings.record is not None and not one.run.timed_out:  # what others are held against is a whole run
        save_record(one.record.words, one.folder, Path(settings.record))
    if settings.against is None:
        return outcome_of("recorded", alone, None, settings=holds_under(one.folder))
    file = Path(settings.against)
    there = load_record(file)
    check_alike(there, one.record, file)
    pair = Pair((None, one.run), held_against(there, one.record), one.run.seconds, one.run.timed_out)
    if one.run.timed_out:
        raise LastbitError(f"{trial.name} did not end within --timeout: what a record is held against is a whole run")
    return outcome_of(
        "against the record",
        pair,
        diagnose(pair),
        settings=holds_under(one.folder),
        changed=changed_between(there.processes, one.record.processes),
    )
