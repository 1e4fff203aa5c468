"""What is asked for: the programs, the settings and the cells of a study, and what goes with none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError, choose
from lastbit.launch.program import CommandProgram
from lastbit.studies.frame.arms import LETTERS, Arm, Trains
from lastbit.studies.frame.asked import Asked
from lastbit.studies.frame.folders import arms_of
from lastbit.studies.frame.kind import Cell, Kind, Plan
from lastbit.studies.frame.program import Program
from lastbit.studies.frame.result import Result
from lastbit.studies.frame.settings import CommandSettings, StudySettings, command_keywords
from lastbit.tasks import Task, TaskConfig
from lastbit.tasks.file_task import file_and_function

__all__ = ["check_executed", "plan_of"]

S = TypeVar("S", bound=StudySettings)
R = TypeVar("R", bound=Result)


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
    # What the kind has made of the one that was named, it makes of it again.
    before = [one for one in arms_of(spec) if "change" not in one]
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
    settled = list(kind.arms(chosen, settled))
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


def check_executed(kind: Kind[S, R], program: Program, asked: Asked) -> None:
    """Refuse to execute the runs of a program in a way that it does not allow.

    Raises:
        LastbitError: says what to leave out.
    """
    _check_shared(program, asked)
    _check_in_step(kind, program, asked)
    _check_format(kind, program, asked)


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
