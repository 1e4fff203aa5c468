"""The life of a study, once for every kind: settings, resume, rehearse, facts, folder, run, conclude."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lastbit.core.errors import LastbitError, choose
from lastbit.core.threads import threads as torch_threads
from lastbit.launch.kept import KEPT
from lastbit.store import StudyFolder
from lastbit.studies.frame.arms import Arm, Trains
from lastbit.studies.frame.asked import Asked
from lastbit.studies.frame.damage import concluded, set_aside
from lastbit.studies.frame.execution import Interrupted
from lastbit.studies.frame.facts import facts_of
from lastbit.studies.frame.fingerprint import check_processes, fingerprint
from lastbit.studies.frame.folders import begin_study, check_origin, stored_facts
from lastbit.studies.frame.kind import Kind, Plan, Pointless, distinct
from lastbit.studies.frame.notes import notes
from lastbit.studies.frame.planning import check_executed, plan_of
from lastbit.studies.frame.progress import FORMS
from lastbit.studies.frame.rehearsal import no_exit
from lastbit.studies.frame.result import Result
from lastbit.studies.frame.runner import Runner
from lastbit.studies.frame.settings import StudySettings
from lastbit.studies.frame.study import Study
from lastbit.studies.frame.unnamed import go_on_from, study_with_kept_run
from lastbit.tasks.summing import SumWarning

__all__ = ["make"]

S = TypeVar("S", bound=StudySettings)
R = TypeVar("R", bound=Result)


def make(
    kind: Kind[S, R],
    task: Trains = None,
    *,
    arms: Sequence[Arm] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    executor: str | None = None,
    replicas: int | None = None,
    ray_address: str | None = None,
    per_run_cpus: float | None = None,
    per_run_gpus: float | None = None,
    memory_format: str | None = None,
    quiet: bool = False,
    progress: str | None = None,
    trust: bool = False,
    from_audit: str | Path | None = None,
    checkpoint_seconds: float = 20.0,
    **settings: Any,
) -> Study[R]:
    """Make a study of any kind, or finish one, and conclude it.

    Args:
        kind: what is studied.
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, a `Task`, a function `train(seed)`, or the
            words of a command.
        arms: the programs of a kind that holds several against each other, in place of `task`.
        out: folder of the study, new or empty; by default the next free `lastbit-studies/KIND-TASK-NNN`.
        resume: folder of an unfinished study to continue, in place of `out`.
        workers: number of processes; 1 stays in this process; None measures both ways.
        threads: of each process for one operation; None measures.
        executor: `serial`, `processes`, `replicas`, which takes runs in step with each other in this process, or `ray`;
            None measures the first two.
        replicas: how many runs `replicas` takes in step.
        ray_address: of a Ray cluster, `local`, `auto` or `HOST:PORT`; None is what `RAY_ADDRESS` says, or `local`.
        per_run_cpus: of a run on Ray; None is its threads.
        per_run_gpus: likewise; None is 0, or 1 where it trains on a GPU.
        memory_format: of the networks, `contiguous`, which is as the task makes them, or `channels_last`; None measures
            where the threads are measured too.
        quiet: show no progress.
        progress: `bar`, `plain`, `json` or `none`; by default a bar on a terminal and `plain` elsewhere.
        trust: resume a study that another user or another computer began, which runs the task file that it names.
        from_audit: folder of an audit whose runs are read in place of new ones; nothing else is given then.
        checkpoint_seconds: time between the checkpoints of a run.
        **settings: of the study and of its task, by name; those that are None are left out.

    Returns:
        The finished study.

    Raises:
        LastbitError: a setting, the task or the folder is invalid; or the user interrupted (finished runs are safe).
    """
    if from_audit is not None:
        told = {"task": task, "out": out, "resume": resume, "workers": workers, "threads": threads, **settings}
        told |= {"executor": executor, "replicas": replicas}
        return _of_audit(kind, Path(from_audit), [name for name, value in told.items() if value is not None])
    if progress is not None:
        choose(progress, FORMS, "--progress")
    asked = Asked(
        workers=workers,
        threads=threads,
        checkpoint_seconds=checkpoint_seconds,
        executor=executor,
        replicas=replicas,
        ray_address=ray_address,
        per_run_cpus=per_run_cpus,
        per_run_gpus=per_run_gpus,
        memory_format=memory_format,
    )
    stored = stored_facts(kind.name, kind.called, out, resume)
    if stored is not None and not (trust or arms) and task is None and settings.get("task") is None:
        check_origin(stored, Path(resume or ""))
    with no_exit("the task"):
        # One thread until it is known how many are worth it.
        with torch_threads(1):
            plan = plan_of(kind, task, settings, stored, arms)
            for program in plan.programs:
                check_executed(kind, program, asked)
            tasks = {cell.number: plan.task(cell) for cell in plan.cells}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SumWarning)  # a note of the study says it
                for built in distinct(plan, tasks).values():
                    built.check()
            for cell in plan.cells:
                kind.rehearse(plan, cell, tasks[cell.number])
            prints = {sets: fingerprint(one) for sets, one in distinct(plan, tasks).items()}
            facts = facts_of(kind, plan, tasks, prints)
            if resume is None and kind.needs_one_task:
                _check_processes(plan, prints, facts["sources"])
            if resume is None:
                facts["notes"] = notes(plan, tasks[plan.cells[0].number], selects=kind.selects)
        kept = study_with_kept_run(facts, out, resume, threads)
        with begin_study(facts, stored, out, resume) if kept is None else go_on_from(kept, facts) as folder:
            if resume is not None:
                set_aside(kind, folder, thorough=True)
            runner = Runner(kind, plan, folder, tasks, fingerprints=prints, asked=asked)
            with _withdrawn_where_nothing_ran(folder, begun=resume is None):
                runner.run(quiet=quiet, form=progress)
            with torch_threads(1):
                result = concluded(kind, folder)
            folder.save_result(result.to_json())
    return kind.study(folder.path, kind)


def _of_audit(kind: Kind[S, R], folder: Path, given: Sequence[str]) -> Study[R]:
    """Return what a kind of study makes of an audit's runs.

    Raises:
        LastbitError: it makes nothing of them, there is no such audit, or something else is given too.
    """
    if kind.of_audit is None:
        raise LastbitError(f"{kind.name} is made of runs of its own: lastbit trace takes --from")
    if given:
        what = "a task or command" if given[0] == "task" else f"--{given[0].replace('_', '-')}"
        raise LastbitError(f"--from reads the runs that {folder} has, and trains none: leave {what} out")
    return kind.of_audit(folder, kind)


@contextmanager
def _withdrawn_where_nothing_ran(folder: StudyFolder, *, begun: bool) -> Iterator[None]:
    """Leave no study behind where the first run of a command failed: what was wrong is mended, and it begins anew.

    What the run printed stays, for the error names it; so does a study whose first run is kept, or was interrupted.
    """
    try:
        yield
    except Interrupted:
        raise
    except Pointless:
        if begun:
            folder.withdraw(with_runs=True)
        raise
    except LastbitError:
        if begun and not any(folder.path.glob(f"output/*/{KEPT}")):
            folder.withdraw()
        raise


def _check_processes(plan: Plan[S], prints: Mapping[str, str], sources: Mapping[str, str]) -> None:
    """Refuse a task in a file that is another in another process."""
    for cell in plan.cells:
        program = plan.programs[cell.arm]
        # A change is made to what the file makes, which the program without it is checked for.
        if cell.first and program.file is not None and not program.is_opaque and program.change is None:
            arguments = program.split(cell.program)[1]
            check_processes(program.file, tuple(arguments.items()), prints[cell.sets], repr(sources))
