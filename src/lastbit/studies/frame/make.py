"""The life of a study, once for every kind: settings, resume, rehearse, facts, folder, run, conclude."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError, choose
from lastbit.core.threads import threads as torch_threads
from lastbit.launch.kept import KEPT
from lastbit.launch.program import CommandProgram
from lastbit.store import StudyFolder
from lastbit.studies.frame.arms import LETTERS, Arm, Trains
from lastbit.studies.frame.asked import Asked
from lastbit.studies.frame.damage import concluded, set_aside
from lastbit.studies.frame.execution import Interrupted
from lastbit.studies.frame.fingerprint import check_processes, fingerprint, targets_of_test
from lastbit.studies.frame.folders import arms_of, begin_study, check_origin, stored_facts
from lastbit.studies.frame.kind import Cell, Kind, Plan, Pointless, distinct
from lastbit.studies.frame.notes import notes
from lastbit.studies.frame.program import Program, Trainee
from lastbit.studies.frame.progress import FORMS
from lastbit.studies.frame.rehearsal import no_exit
from lastbit.studies.frame.result import Result
from lastbit.studies.frame.runner import Runner
from lastbit.studies.frame.settings import CommandSettings, StudySettings, command_keywords
from lastbit.studies.frame.sources import sources_of
from lastbit.studies.frame.study import Study
from lastbit.studies.frame.unnamed import go_on_from, study_with_kept_run
from lastbit.tasks import Task, TaskConfig
from lastbit.tasks.file_task import file_and_function
from lastbit.tasks.summing import SumWarning
from lastbit.train.environment import environment

__all__ = ["make", "plan_of"]

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
                _check_shared(program, asked)
                _check_in_step(kind, program, asked)
                _check_format(kind, program, asked)
            tasks = {cell.number: plan.task(cell) for cell in plan.cells}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SumWarning)  # a note of the study says it
                for built in distinct(plan, tasks).values():
                    built.check()
            for cell in plan.cells:
                kind.rehearse(plan, cell, tasks[cell.number])
            prints = {sets: fingerprint(one) for sets, one in distinct(plan, tasks).items()}
            facts = _facts(kind, plan, tasks, prints)
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


def plan_of(
    kind: Kind[S, R],
    task: Trains,
    settings: Mapping[str, Any],
    stored: Mapping[str, Any] | None = None,
    arms: Sequence[Arm] = (),
) -> Plan[S]:
    """Work out what is asked for: the settings given, over those of the study to resume, over the defaults.

    Raises:
        LastbitError: a name, a value or a combination that is invalid.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    of_task = [name for name in TaskConfig.model_fields if name not in kind.settings.decides]
    for name in [*given, *(name for arm in arms for name in arm.settings)]:
        choose(name, [*of_task, *kind.settings.model_fields, *command_keywords(kind.settings)], "setting")
    spec = (stored or {}).get("spec", {})
    before = arms_of(spec)
    asked = arms or [Arm(task)] * (1 if task is not None else len(before))
    if len(before) != len(asked):
        before = [{}] * len(asked)
    for_study = {name: given.pop(name) for name in list(given) if name in kind.settings.model_fields}
    own = [{**given, **arm.settings} for arm in asked]
    if len(asked) > 1 and any(arm.is_command or one.get("command") for arm, one in zip(asked, before, strict=True)):
        own = [_fitting(kind, arm, one) for arm, one in zip(asked, own, strict=True)]
    programs = [_program(kind, *one, for_study) for one in zip(asked, own, before, strict=True)]
    return _plan(kind, programs, for_study, spec.get("settings", {}))


def _fitting(kind: Kind[S, R], arm: Arm, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of all arms without what an arm of this sort does not take, where another does."""
    commands = command_keywords(kind.settings)
    return {n: value for n, value in given.items() if n in arm.settings or (n in commands) == arm.is_command}


def _program(
    kind: Kind[S, R], arm: Arm, given: dict[str, Any], spec: Mapping[str, Any], for_study: Mapping[str, Any]
) -> Program:
    """Return a program of the study: what is given, over what the study to resume says of it.

    Raises:
        LastbitError: a name, a value or a combination that is invalid.
    """
    for_command = {name: given.pop(name) for name in command_keywords(kind.settings) if name in given}
    if arm.is_command or spec.get("command") or for_command:
        words = cast("Sequence[str]", arm.what) if arm.is_command else None
        return _command(kind, words, for_command, spec.get("command"), list(given))
    one = cast("str | Task | Callable[[int], Any] | None", arm.what)
    given_object = one is not None and not isinstance(one, str)
    if spec.get("object") and not given_object:
        raise LastbitError(f"this study repeats an object of Python ({spec['object']}): resume it from there, with it")
    if given_object:
        before: dict[str, Any] = {}
    else:
        named = one or given.get("task")
        if kind.settings.commands and isinstance(named, str) and named.endswith(".py"):
            file_and_function(named, kind.name)
        same = named is None or TaskConfig(task=named).task == spec.get("program", {}).get("task")
        before = {**spec.get("program", {}), **spec.get("axes", {})} if same else {}
    asked = {**before, **given}
    return Program.of(
        one,
        asked,
        sweeps=kind.settings.sweeps,
        arguments=kind.settings.arguments,
        defaults={} if given_object or before else kind.defaults({**asked, **for_study}),
    )


def _command(
    kind: Kind[S, R],
    words: Sequence[str] | None,
    options: Mapping[str, Any],
    stored: Mapping[str, Any] | None,
    others: Sequence[str],
) -> Program:
    """Return the program of a command: its words and options, over those of the study to resume.

    Raises:
        LastbitError: there are no words, or something is given that belongs to tasks.
    """
    before = dict(stored or {})
    kept = tuple(before.pop("words", ()))
    folder = before.pop("folder", None)
    if words is None and not kept:
        flag = f"--{next(iter(options)).replace('_', '-')}"
        raise LastbitError(
            f"{flag} belongs to a command: write it as lastbit {kind.name} {flag} ... -- python train.py"
        )
    if not kind.settings.commands:
        raise LastbitError(f"{kind.name} takes no command after --: {_others(lambda one: one.settings.commands)} do")
    if others:
        flag = f"--{others[0].replace('_', '-')}"
        raise LastbitError(f"{flag} belongs to tasks: a command after -- sets that itself")
    chosen = validated(CommandSettings, {**before, **options}, flag="--").model_dump()
    return Program(CommandProgram.of(kept if words is None else words, chosen, folder))


def _plan(
    kind: Kind[S, R], programs: Sequence[Program], settings: Mapping[str, Any], stored: Mapping[str, Any]
) -> Plan[S]:
    chosen = validated(kind.settings, settings, flag="--", stored=stored)
    settled = []
    for program in programs:
        if program.is_opaque and not kind.takes_functions:
            raise LastbitError(
                f"{kind.name} needs a Task, and {program.name} is a training function: "
                f"{_others(lambda one: one.takes_functions)} take it"
            )
        command = program.source
        if isinstance(command, CommandProgram):
            of_study = {name: getattr(chosen, name) for name in command.options if name in kind.settings.model_fields}
            program = Program(CommandProgram.of(command.words, {**command.options, **of_study}, command.folder))
        chosen = kind.settle(chosen, program)
        settled.append(program)
    cells: list[Cell] = []
    for arm, program in enumerate(settled):
        first, letter = len(cells), f"{LETTERS[arm]}-" if len(settled) > 1 else ""
        cells += [
            replace(cell, number=first + cell.number, name=f"{letter}{cell.name}", arm=arm, begins=first)
            for cell in kind.cells(chosen, program)
        ]
    return Plan(chosen, tuple(settled), tuple(cells))


def _others(do: Callable[[Kind[Any, Any]], bool]) -> str:
    """Return the names of the kinds that do something."""
    from lastbit.studies.kinds import KINDS, kind_named

    *names, last = (name for name in KINDS if do(kind_named(name)))
    return f"{', '.join(names)} and {last}"


def _check_processes(plan: Plan[S], prints: Mapping[str, str], sources: Mapping[str, str]) -> None:
    """Refuse a task in a file that is another in another process."""
    for cell in plan.cells:
        program = plan.programs[cell.arm]
        if cell.first and program.file is not None and not program.is_opaque:
            arguments = program.split(cell.program)[1]
            check_processes(program.file, tuple(arguments.items()), prints[cell.sets], repr(sources))


def _facts(kind: Kind[S, R], plan: Plan[S], tasks: Mapping[int, Trainee], prints: Mapping[str, str]) -> dict[str, Any]:
    """Return what `study.json` keeps."""
    first = tasks[plan.cells[0].number]
    settings = {name: list(v) if isinstance(v, tuple) else v for name, v in plan.settings.model_dump().items()}
    return {
        "kind": kind.name,
        "spec": {"settings": settings, **_spec(plan), "fingerprint": "-".join(sorted(set(prints.values())))},
        "sources": {name: digest for program in plan.programs for name, digest in sources_of(program).items()},
        "command": kind.command(plan),
        "cells": [_cell_facts(kind, plan, cell, tasks[cell.number]) for cell in plan.cells],
        "task": _task_facts(kind, plan, first),
        **_of_arms(kind, plan, tasks),
        "environment": environment(plan.device),
    }


def _of_arms(kind: Kind[S, R], plan: Plan[S], tasks: Mapping[int, Trainee]) -> dict[str, Any]:
    """Return what is known of what each of several programs trains, as `task` says it of the first."""
    if len(plan.programs) < 2:
        return {}
    return {"tasks": [_task_facts(kind, plan, tasks[cell.number]) for cell in plan.cells if cell.first]}


def _spec(plan: Plan[Any]) -> dict[str, Any]:
    """Return what is kept of the programs: of one what it says of itself, of several `arms`, a list."""
    specs = [program.spec() for program in plan.programs]
    return specs[0] if len(specs) == 1 else {"arms": specs}


def _check_shared(program: Program, asked: Asked) -> None:
    """Refuse runs of a command beside each other whose metric is read from the folder that they share.

    Threads are refused where nothing of its environment is to be touched.
    """
    command = program.source
    if not isinstance(command, CommandProgram):
        return
    read = [metric.flag for metric in command.metrics if metric.reader not in ("name", "pattern")]
    if read and (asked.workers or 1) > 1:
        raise LastbitError(
            f"--workers {asked.workers}: {read[0]} is read from the folder that all runs share: leave it out"
        )
    if asked.threads is not None and not command.options["deterministic"]:
        raise LastbitError(
            f"--threads {asked.threads}: --as-is touches nothing of a command: set OMP_NUM_THREADS yourself, or leave "
            "--as-is out"
        )


def _check_in_step(kind: Kind[S, R], program: Program, asked: Asked) -> None:
    """Refuse to take runs in step whose steps nobody can take from outside.

    Raises:
        LastbitError: the kind or the program allows no such thing; says which ones do.
    """
    if asked.executor != "replicas":
        return
    if kind.in_step is None:
        raise LastbitError(
            f"--executor replicas takes the runs of an audit in step, not those of {kind.name}: leave it out"
        )
    if program.is_opaque:
        what = "a command" if isinstance(program.source, CommandProgram) else "a training function"
        raise LastbitError(
            f"--executor replicas needs a Task, whose steps can be taken from outside, and {program.name} is {what}: "
            "leave it out, or use --workers"
        )


def _check_format(kind: Kind[S, R], program: Program, asked: Asked) -> None:
    """Refuse to lay out networks that lastbit does not make, or whose curvature is measured.

    Raises:
        LastbitError: the kind or the program allows no such thing.
    """
    if asked.memory_format is None:
        return
    if not kind.settings.lays_out:
        raise LastbitError(
            f"--memory-format is for {_others(lambda one: one.settings.lays_out)}, not for {kind.name}: leave it out"
        )
    if program.is_opaque:
        raise LastbitError(f"--memory-format belongs to tasks: {program.name} lays out its network itself")


def _task_facts(kind: Kind[S, R], plan: Plan[S], task: Trainee) -> dict[str, Any]:
    """Return what is known of what is trained; of a function neither sizes nor what it measures."""
    known: dict[str, Any] = {"name": task.name, "settings": dict(task.settings)}
    if not isinstance(task, Task):
        return known
    return {
        **known,
        "metric": {"name": task.metric.name, "unit": task.metric.unit},
        "metrics": [
            {"name": one.name, "unit": one.unit, "higher_is_better": one.higher_is_better} for one in task.all_metrics
        ],
        "train_size": len(task.train),
        "test_size": len(task.test),
        "test_targets": targets_of_test(task),
        "batch_size": task.batch_size,
        "full_batch": task.batch_size >= len(task.train),
        "steps": kind.steps(plan.settings_of(plan.cells[0]), task),
        "steps_per_epoch": task.steps_per_epoch,
    }


def _cell_facts(kind: Kind[S, R], plan: Plan[S], cell: Cell, task: Trainee) -> dict[str, Any]:
    if not isinstance(task, Task):
        return {**asdict(cell), "task_settings": dict(task.settings)}
    return {
        **asdict(cell),
        "epochs": task.epochs,
        "steps": kind.steps(plan.settings_of(cell), task),
        "batch_size": task.batch_size,
        "task_settings": dict(task.settings),
    }
