"""The comparison: arms that were measured before, or programs that are trained seed by seed beside each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

from lastbit.core.config import validated
from lastbit.core.device import resolve_device
from lastbit.core.errors import LastbitError, choose
from lastbit.core.keywords import takes
from lastbit.core.words import command_text
from lastbit.report.formatting import plural
from lastbit.store import StudyFolder
from lastbit.studies.audit.worker import train
from lastbit.studies.compare.arms import (
    ArmRuns,
    arm_of_numbers,
    kept,
    paired_examples,
    read_arm,
    refuse_twice,
    right_on_examples,
)
from lastbit.studies.compare.comparable import check_comparable
from lastbit.studies.compare.decide import decide
from lastbit.studies.compare.names import names_of_files, names_of_programs
from lastbit.studies.compare.page import compare_page
from lastbit.studies.compare.result import CompareResult, conclude, enough
from lastbit.studies.compare.runs import cells, check_number, jobs, rehearse, settle
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.compare.study import CompareStudy
from lastbit.studies.frame.arms import LETTERS, Trains, arm_of
from lastbit.studies.frame.folders import begin_study
from lastbit.studies.frame.kind import Kind, Plan
from lastbit.studies.frame.landed import count_landed
from lastbit.studies.frame.make import make
from lastbit.studies.frame.settings import command_words, study_keywords
from lastbit.studies.frame.study import Study
from lastbit.tasks import Task
from lastbit.tasks.config import is_task_file
from lastbit.tasks.registry import TASKS
from lastbit.train.environment import environment

__all__ = ["COMPARE", "CompareArm", "compare"]

CompareArm: TypeAlias = Trains | Path | Study[Any] | Sequence[float] | Mapping[Any, float]
"""A program; or a study, its folder, a CSV file, the values of runs, or values by seed."""


def _announce(plan: Plan[CompareSettings], jobs: int, steps: int) -> str:
    called = names_of_programs([program.spec() for program in plan.programs])
    names = [f"{letter.upper()} = {name}" for letter, name in zip(LETTERS, called, strict=False)]
    most = "at most " if plan.settings.sequential else ""
    return f"compare {', '.join(names)}: {most}{plural(jobs, 'run')}"


COMPARE = Kind(
    name="compare",
    called="a comparison",
    counted="run",
    takes_functions=True,
    settle=settle,
    selects=True,
    settings=CompareSettings,
    result=CompareResult,
    study=CompareStudy,
    cells=cells,
    jobs=jobs,
    rehearse=rehearse,
    train=train,
    enough=enough,
    gather=count_landed,
    announce=_announce,
    conclude=conclude,
    page=compare_page,
)
"""The kind of study that `lastbit compare` makes."""


@takes(study_keywords(CompareSettings))
def compare(*arms: CompareArm, quiet: bool = False, **settings: Any) -> CompareStudy:
    """Decide whether B is better than A, with a stated error rate; or C, D, ... of several arms.

    Programs are trained with the same number of fresh seeds each. Arms that were measured before are read: studies that
    `audit` made, CSV files, numbers.

    Args:
        *arms: two or more, all programs or all measured before. A program is the text of a task with its options
            (`"digits --lr 0.1"`) or of a command (`"python train.py --seed {seed}"`), the words of a command as a list,
            `"FILE.py:FUNCTION"`, a `Task` or a function `train(seed)`. Measured are a study or its folder, a CSV file
            (`seed,value` in rows, or one run a column), a sequence of final values, a mapping of values by seed.
        **settings: of the comparison, and of all tasks; of an arm's own stand in its text.
        quiet: show no progress.

    Returns:
        The finished study; `result.verdict_kind` is `real`, `no_difference` or `undecided`.

    Raises:
        LastbitError: there are fewer than two arms, or ones that cannot be compared; a setting or a program is invalid;
            or the user interrupted (finished runs are safe).

    Example:
        >>> from lastbit import compare
        >>> study = compare("digits", "digits --lr 0.02", seeds=3, epochs=2, quiet=True)  # doctest: +SKIP
        >>> study.result.difference.estimate  # doctest: +SKIP
    """
    if "resume" in settings and not arms:
        return cast(CompareStudy, make(COMPARE, quiet=quiet, **settings))
    if len(arms) < 2:
        raise LastbitError(
            f"a comparison has two arms or more, got {len(arms)}: name studies or CSV files, or programs by --a and --b"
        )
    if len(arms) > len(LETTERS):
        raise LastbitError(f"a comparison has at most {len(LETTERS)} arms, got {len(arms)}")
    measured = [_is_measured(one) for one in arms]
    if all(measured):
        return _compare_earlier(arms, **settings)
    if any(measured):
        letter = LETTERS[measured.index(True)].upper()
        raise LastbitError(
            f"arm {letter} was measured before and another is a program: name programs alone, or measure the program "
            "first, by lastbit audit"
        )
    programs = [arm_of(cast(Trains, one)) for one in arms]
    for place, program in enumerate(programs):
        if program in programs[:place]:
            first, second = LETTERS[programs.index(program)].upper(), LETTERS[place].upper()
            raise LastbitError(
                f"arms {first} and {second} are the same program: change one, or audit it by lastbit audit"
            )
    return cast(CompareStudy, make(COMPARE, arms=programs, quiet=quiet, **settings))


def _is_measured(arm: Any) -> bool:
    if isinstance(arm, str):
        # A word alone is no command: it is a task, or a path that may be misspelt.
        word = len(arm.split()) == 1 and arm.strip() not in TASKS and not is_task_file(arm)
        return word or os.path.exists(arm)  # False, too, of a command that is longer than any name
    if isinstance(arm, list | tuple):
        return not all(isinstance(word, str) for word in arm)
    return not (isinstance(arm, Task) or callable(arm))


_ON_READ = ("worth", "paired", "pairs", "out", "better", "metric")
"""Settings of a comparison in which nothing is trained."""


def _compare_earlier(arms: Sequence[Any], **settings: Any) -> CompareStudy:
    """Compare arms that were measured before.

    Args:
        arms: studies, their folders, CSV files, sequences of values, mappings of values by seed.
        settings: `worth`, `paired`, `pairs`, `out`, `better`, `metric`.

    Raises:
        LastbitError: an arm cannot be read, or they cannot be compared; another setting is given.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    for name in given:
        if name not in _ON_READ:
            flag = f"--{name.replace('_', '-')}"
            raise LastbitError(
                f"{flag} is for programs that are trained: these arms were measured before, leave it out"
            )
    out, metric, better = given.pop("out", None), _one(given.pop("metric", None)), _one(given.pop("better", None))
    chosen = validated(CompareSettings, given, flag="--")
    check_number(chosen, len(arms))
    files = [one.path if isinstance(one, Study) else one for one in arms]
    refuse_twice(files)
    read = [_measured(one, LETTERS[place].upper(), metric) for place, one in enumerate(files)]
    if all(isinstance(one, str | Path) for one in files):
        names = names_of_files([Path(one) for one in files])
        read = [replace(arm, name=name) for arm, name in zip(read, names, strict=True)]
    if metric is not None:
        read = [arm if arm.metric else replace(arm, metric=metric) for arm in read]
    if better is not None:
        higher = choose(better.rpartition("=")[2], ("higher", "lower"), "--better") == "higher"
        read = [replace(arm, higher_is_better=higher) for arm in read]
    check_comparable(read, paired=chosen.paired)
    right = _right(files) if len(arms) == 2 else None
    decide(read, chosen, right=right)
    facts: dict[str, Any] = {
        "kind": COMPARE.name,
        "spec": {"settings": chosen.model_dump(mode="json")},
        "command": _command(files, given, metric, better),
        "cells": [],
        "arms": kept(read),
        "right": right,
        "task": {"name": "-".join(arm.name for arm in read)[:50], "settings": {}},
        "environment": environment(resolve_device("cpu")),
        "execution": {},
    }
    with begin_study(facts, None, out, None) as folder:
        folder.save_result(conclude(folder).to_json())
    return CompareStudy(folder.path, COMPARE)


def _one(given: Any) -> str | None:
    """Return the one metric or direction that the arms share.

    Raises:
        LastbitError: there are several.
    """
    values = (given,) if isinstance(given, str) else tuple(given or ())
    if len(values) > 1:
        raise LastbitError(
            f"{' and '.join(values)}: arms that were measured before are compared in one metric, name it"
        )
    return values[0] if values else None


def _measured(arm: Any, letter: str, metric: str | None) -> ArmRuns:
    if isinstance(arm, str | Path):
        return read_arm(Path(arm), metric)
    return arm_of_numbers(arm, name=letter)


def _right(arms: Sequence[Any]) -> list[list[int]] | None:
    """Return what a network of each study says of each example; None where one is no study."""
    paths = [Path(arm) for arm in arms if isinstance(arm, str | Path)]
    if len(paths) < 2 or not all(path.is_dir() for path in paths):
        return None
    found = []
    for path in paths:
        with StudyFolder.read(path) as folder:
            found.append(right_on_examples(folder))
    return paired_examples(*found)


def _command(arms: Sequence[Any], settings: Mapping[str, Any], metric: str | None, better: str | None) -> str:
    """Return what repeats the comparison."""
    told = {**settings, **{n: v for n, v in (("metric", metric), ("better", better)) if v is not None}}
    if all(isinstance(path, str | Path) for path in arms):
        return command_text(["lastbit", "compare", *map(str, arms), *command_words(told)])
    return f"lb.compare(<{plural(len(arms), 'arm')} of numbers>, {', '.join(f'{n}={v!r}' for n, v in told.items())})"
