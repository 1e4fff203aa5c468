"""A program of a session, the baseline or a candidate: what it is, by what it is told from others, how it is judged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.words import command_text
from lastbit.launch.kept import named_files
from lastbit.launch.program import CommandProgram
from lastbit.studies.compare.kind import COMPARE
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.frame.arms import arm_of
from lastbit.studies.frame.kind import Plan
from lastbit.studies.frame.planning import plan_of
from lastbit.studies.frame.program import Trainee
from lastbit.studies.frame.rehearsal import no_exit
from lastbit.studies.frame.settings import command_keywords
from lastbit.studies.frame.sources import sources_of
from lastbit.tasks import Task

__all__ = ["Contender", "Measure", "contender"]

_SETTINGS = (".yaml", ".yml", ".toml", ".ini", ".cfg")
"""Files of which a command that names one reads it: others may be what it writes."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a session is about: one number of a run."""

    metric: str
    """Its name; "" for the first that a function returns."""
    unit: str
    higher_is_better: bool


@dataclass(frozen=True)
class Contender:
    """A program of a session.

    Attributes:
        text: what it is, as it is typed.
        plan: the same as a comparison would run it.
    """

    text: str
    plan: Plan[CompareSettings]

    @cached_property
    def task(self) -> Trainee:
        """What is trained."""
        with no_exit("the task"):
            return self.plan.task(self.plan.cells[0])

    @property
    def name(self) -> str:
        """Name of its script, task or function."""
        return self.plan.program.name

    @property
    def is_command(self) -> bool:
        """Whether it is a command, whose runs share a folder."""
        return isinstance(self.plan.program.source, CommandProgram)

    @property
    def folder(self) -> str:
        """Where it runs."""
        source = self.plan.program.source
        return source.folder if isinstance(source, CommandProgram) else str(Path.cwd())

    @property
    def seeded(self) -> bool:
        """Whether a seed reaches it for certain."""
        source = self.plan.program.source
        return not isinstance(source, CommandProgram) or source.seeded

    @property
    def key(self) -> str:
        """What tells it from others at this moment: its words, its files of code and of settings."""
        program = self.plan.program
        digest = hashlib.blake2b(program.text.encode() if program.text else b"", digest_size=16)
        for one in sorted(sources_of(program).values()):
            digest.update(one.encode())
        if isinstance(program.source, CommandProgram):
            words, folder = program.source.words, Path(program.source.folder)
            for path in sorted(set(named_files(words, folder))):
                if path.suffix in _SETTINGS:
                    digest.update(path.read_bytes())
        return digest.hexdigest()

    @property
    def measure(self) -> Measure:
        """What is read of a run.

        Raises:
            LastbitError: it has no such metric.
        """
        settings, task = self.plan.settings, self.task
        wanted = settings.metric[0] if settings.metric else ""
        way = settings.better[0].rpartition("=")[2] == "higher" if settings.better else None
        if isinstance(task, CommandProgram):
            spec = task.metrics[0]
            return Measure(metric=spec.name, unit=spec.unit, higher_is_better=bool(spec.higher_is_better))
        if not isinstance(task, Task):
            return Measure(metric=wanted, unit="", higher_is_better=bool(way))
        found = next((one for one in task.all_metrics if one.name == wanted), None)
        if wanted and found is None:
            names = ", ".join(one.name for one in task.all_metrics)
            raise LastbitError(f"--metric {wanted}: {task.name} has {names}: name one of them")
        metric = found or task.metric
        higher = metric.higher_is_better if way is None else way
        return Measure(metric=metric.name, unit=metric.unit, higher_is_better=higher)

    def check(self) -> None:
        """See that it can be run, before anything is claimed.

        Raises:
            LastbitError: there is no such program, or its first step fails.
        """
        self.task.check()
        with no_exit("the task"):
            COMPARE.rehearse(self.plan, self.plan.cells[0], self.task)


def contender(text: str, settings: Mapping[str, Any], folder: str | None = None) -> Contender:
    """Return a program of a session.

    Args:
        text: a task with its options, or a command.
        settings: of the runs, by name; those of commands are left out for a task.
        folder: where a command runs; here by default.

    Raises:
        LastbitError: it is neither, a setting does not fit, or what is measured is not known.
    """
    arm = arm_of(text)
    commands = command_keywords(CompareSettings)
    own = [name for name in CompareSettings.model_fields if name in settings]
    given = {n: v for n, v in settings.items() if n in own or (n in commands and arm.is_command)}
    with no_exit("the task"):
        plan = plan_of(COMPARE, None, given, None, [arm])
    source = plan.program.source
    if folder is not None and isinstance(source, CommandProgram):
        plan = replace(plan, programs=(replace(plan.program, source=replace(source, folder=folder)),))
    return Contender(command_text(arm.what) if isinstance(arm.what, tuple) else text, plan)
