"""What a kind of study says of itself; the frame does the rest: begin, resume, rehearse, run, conclude, present."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from lastbit.core.device import resolve_device
from lastbit.core.errors import LastbitError
from lastbit.core.status import Role
from lastbit.core.words import command_text
from lastbit.launch.program import CommandProgram
from lastbit.report.formatting import plural
from lastbit.store import RunFiles, RunRecord, StudyFolder
from lastbit.studies.frame.arms import LETTERS
from lastbit.studies.frame.control import Difference
from lastbit.studies.frame.program import Program, Trainee
from lastbit.studies.frame.result import Result
from lastbit.studies.frame.settings import StudySettings, command_line, command_words
from lastbit.tasks import Task, TaskConfig
from lastbit.train.jobs import Together

if TYPE_CHECKING:
    from lastbit.report.blocks import Page
    from lastbit.studies.frame.study import Study

__all__ = ["DTYPES", "Cell", "InStep", "Job", "Kind", "Plan", "Pointless", "Trained", "Work", "distinct"]

S = TypeVar("S", bound=StudySettings)
R = TypeVar("R", bound=Result)

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
"""Formats of weights by the names that settings give them."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training of a study: what it sets of the program and of the study's settings, and its seed."""

    number: int
    """Place in the study, from 0."""
    name: str
    """Usable as a file name."""
    label: str = ""
    """What distinguishes it, in words; empty where nothing is varied."""
    seed: int = 0
    program: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the task that this cell takes, by name."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the study that this cell takes, by name."""
    arm: int = 0
    """Place of its program among those of the study."""
    begins: int = 0
    """Number of the first cell of the same program."""

    @property
    def first(self) -> bool:
        """Whether it is the first of its program."""
        return self.number == self.begins

    @property
    def sets(self) -> str:
        """What it sets of which program, as text: cells that agree in it train the same task."""
        return f"{self.arm} {dict(self.program)}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is done in one go: a whole cell in lock step, or one of its runs."""

    cell: Cell
    run: str
    """Name of the run that, once it is in the database, says that the job is done."""
    role: Role = Role.BASE
    twin: int = 0
    label: str = ""
    """What distinguishes the run, for tables and progress."""
    made_from: tuple[str, ...] = ()
    """Names of runs that have ended, from whose arrays it is made in the caller's process; none of one that trains."""

    def record(self, **ended: Any) -> RunRecord:
        """Return the record of the run that the job is named after, given how it ended."""
        return RunRecord(run=self.run, cell=self.cell.number, role=self.role, twin=self.twin, label=self.label, **ended)


@dataclass(frozen=True)
class Plan(Generic[S]):
    """What a study is asked to be: settings, programs and cells, all checked."""

    settings: S
    programs: tuple[Program, ...]
    """One, but for the kinds that hold several against each other."""
    cells: tuple[Cell, ...]

    @property
    def program(self) -> Program:
        """The program, or the first of several."""
        return self.programs[0]

    def task(self, cell: Cell) -> Trainee:
        """Return what a cell trains."""
        return self.programs[cell.arm].task(cell.program)

    def under(self, root: Path) -> Plan[S]:
        """Return the same plan where the user's files lie under `root` by their full paths."""
        moved = replace(self, programs=tuple(program.under(root) for program in self.programs))
        checkpoint = getattr(self.settings, "checkpoint", None)
        if checkpoint and (path := Path(checkpoint).expanduser()).is_absolute():
            there = str(root.joinpath(*path.parts[1:]))
            moved = replace(moved, settings=self.settings.model_copy(update={"checkpoint": there}))
        return moved

    def settings_of(self, cell: Cell) -> S:
        """Return the settings of the study as a cell takes them."""
        return self.settings.model_copy(update=dict(cell.settings)) if cell.settings else self.settings

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        return resolve_device(getattr(self.settings, "device", "cpu"))


def distinct(plan: Plan[Any], tasks: Mapping[int, Trainee]) -> dict[str, Trainee]:
    """Return the tasks that differ, by what their cells set of the program."""
    found: dict[str, Trainee] = {}
    for cell in plan.cells:
        found.setdefault(cell.sets, tasks[cell.number])
    return found


@dataclass(frozen=True, kw_only=True)
class Work(Generic[S]):
    """One job in the hands of a worker."""

    job: Job
    task: Any
    """What is trained: a `Task`, or a training function for the kinds that take one."""
    program: Program
    """From which another process can make the task again."""
    programs: tuple[Program, ...]
    """Of all arms, for a job that is about several."""
    settings: S
    device: torch.device
    files: Callable[[str], RunFiles]
    """The files of a run, by its name."""
    output: Callable[[str], Path]
    """Where what a command prints in a run is kept, by the run's name."""
    progress: Callable[[int], None]
    """Told the number of steps taken, a few times a second."""
    say: Callable[[str], None]
    """Told what a person should know of a job that takes long, a sentence at a time."""
    checkpoint_seconds: float


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What is known of a finished job beside its arrays, which are in place when this is returned."""

    records: tuple[RunRecord, ...]
    """Of its runs; the run that the job is named after becomes visible last."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Added to the cell's entry in `study.json`."""
    said: str = ""
    """How it ended, in a few words for the progress."""


def _nothing(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


def _as_given(settings: S, program: Program) -> S:
    return settings


def _as_named(settings: S, programs: Sequence[Program]) -> Sequence[Program]:
    return programs


def _one_each(plan: Plan[S]) -> list[Job]:
    return [Job(cell=cell, run=cell.name, label=cell.label) for cell in plan.cells]


def _all_steps(settings: S, task: Trainee) -> int:
    return task.total_steps


def _first(plan: Plan[S], tasks: Mapping[int, Any]) -> Cell:
    return plan.cells[0]


def _silent(records: Sequence[RunRecord], task: Any) -> str:
    return ""


def _own_arrays(record: RunRecord, cell: Mapping[str, Any]) -> tuple[str, ...]:
    return (record.run,)


def _never(folder: StudyFolder, records: Mapping[str, RunRecord], cell: Cell) -> Difference | None:
    return None


@dataclass(frozen=True, kw_only=True)
class InStep(Generic[S]):
    """How several runs of a kind are trained in step with each other."""

    engine: Callable[[Plan[S], Cell, Task], tuple[str | None, str]]
    """Returns the engine that can train the task of a cell, None where none can, and why better ones cannot."""
    train: Callable[[Sequence[Work[S]], Together], list[Trained | Exception]]
    """Does jobs whose cells train one task with one set of settings: what `Kind.train` does with each."""


def _leave(folder: StudyFolder, jobs: Sequence[Job], finished: Collection[str]) -> None:
    """Leave everything as the runs left it."""


class Pointless(LastbitError):
    """What the runs that are in show makes every other one pointless: the study is withdrawn, and begun anew."""


def _all_of_them(folder: StudyFolder, plan: Plan[S]) -> bool:
    return False


def _all_that_are_left(folder: StudyFolder, plan: Plan[S], left: Sequence[Job]) -> Sequence[Job]:
    return left


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[S, R]):
    """One kind of study: one command, one function, one page; what it does that the frame does not.

    Its functions stand at the top level of a module, so that it can be sent to worker processes.
    """

    name: str
    """Name of the command."""
    called: str
    """What a study of this kind is called in a sentence (`"an audit"`)."""
    counted: str = "training"
    """What its progress counts."""
    settings: type[S]
    """What the study has besides its program."""
    result: type[R]
    study: type[Study[R]]
    cells: Callable[[S, Program], list[Cell]]
    """Returns the trainings of the study."""
    rehearse: Callable[[Plan[S], Cell, Any], None]
    """Takes a step of a cell, so that what no run would survive is said before a folder is made.

    Raises:
        LastbitError: parts that do not go together, or the task's own code raised.
    """
    train: Callable[[Work[S]], Trained]
    """Does one job and writes its arrays; called in a worker process, or in the caller's."""
    conclude: Callable[[StudyFolder], R]
    """Returns what the runs that are in say."""
    page: Callable[[StudyFolder, R], Page]
    """Composes the page that terminal text, Markdown and HTML are rendered from."""
    in_step: InStep[S] | None = None
    """How several jobs are done in step with each other, for a kind of which they can be."""
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _nothing
    """Returns settings of a built-in task that this kind prefers to the task's own, given those that were asked."""
    settle: Callable[[S, Program], S] = _as_given
    """Returns the settings with what follows from the program filled in.

    Raises:
        LastbitError: the two do not go together; says what to write instead.
    """
    arms: Callable[[S, Sequence[Program]], Sequence[Program]] = _as_named
    """Returns the programs that are held against each other, given those that were named: these, or what is made of one
    by changes.

    Raises:
        LastbitError: a change is not possible.
    """
    jobs: Callable[[Plan[S]], list[Job]] = _one_each
    """Returns what is to be done, in the order in which it is begun; by default one job for each cell."""
    steps: Callable[[S, Any], int] = _all_steps
    """Returns the optimizer steps of one training."""
    sample: Callable[[Plan[S], Mapping[int, Any]], Cell] = _first
    """Returns the cell whose steps say best how the study should be executed."""
    reads: Callable[[RunRecord, Mapping[str, Any]], tuple[str, ...]] = _own_arrays
    """Returns the names of the arrays without which a run says nothing, given the run and its cell in `study.json`."""
    of_audit: type[Study[R]] | None = None
    """What it makes of the runs of an audit, where it can."""
    takes_functions: bool = False
    """Whether it repeats training functions too, of which it sees the optimizers' steps and what they return."""
    needs_one_task: bool = True
    """Whether a task in a file that is another in another process makes it pointless."""
    selects: bool = False
    """Whether it is about the network that a training selects, rather than about every step."""
    announce: Callable[[Plan[S], int, int], str] | None = None
    """Returns what is about to be done, in a few words, given the plan, the number of jobs and of steps."""
    so_far: Callable[[Sequence[RunRecord], Any], str] = _silent
    """Returns what the runs that are in say, in a few words for the progress."""
    differs: Callable[[StudyFolder, Mapping[str, RunRecord], Cell], Difference | None] = _never
    """Returns where a cell's exact repeat first differs, which makes every other run pointless."""
    gather: Callable[[StudyFolder, Sequence[Job], Collection[str]], None] = _leave
    """Takes what the finished runs of a cell have left for each other, given its jobs and the names of those runs."""
    repeat: Callable[[Plan[S]], str] | None = None
    """Returns the command that repeats the study exactly, where its programs stand otherwise than behind `--a`."""
    due: Callable[[StudyFolder, Plan[S], Sequence[Job]], Sequence[Job]] = _all_that_are_left
    """Returns those of the jobs that are left which are done next, given the runs that are in; asked again when they
    are done, for a kind that decides by what it has seen which further runs it needs."""
    enough: Callable[[StudyFolder, Plan[S]], bool] = _all_of_them
    """Tells whether the runs that are in settle what was asked, so that no other is needed.

    Raises:
        Pointless: they show that the study was asked wrongly.
    """

    def announced(self, plan: Plan[S], jobs: int, steps: int) -> str:
        """Return what is about to be done, in a few words."""
        if self.announce is not None:
            return self.announce(plan, jobs, steps)
        each = f" x {plural(steps, 'step')}" if steps > 1 else ""
        return f"{self.name} of {plural(jobs, self.counted)}{each}"

    def command(self, plan: Plan[S]) -> str:
        """Return the command, or the Python call, that repeats the study exactly."""
        if self.repeat is not None:
            return self.repeat(plan)
        if len(plan.programs) > 1:
            return self._command_of_several(plan)
        if isinstance(plan.program.source, TaskConfig):
            program = {name: v for name, v in plan.program.settings().items() if name not in self.settings.decides}
            return command_line(self.name, {**program, **plan.settings.model_dump()}, self.settings)
        own = {*self.settings.of_tasks} if plan.program.is_opaque else set()
        options = ", ".join(f"{n}={value!r}" for n, value in plan.settings.model_dump(mode="json", exclude=own).items())
        if isinstance(plan.program.source, CommandProgram):
            ours = {**plan.program.source.options, **plan.settings.model_dump(exclude=own)}
            return f"{command_line(self.name, ours, self.settings)} -- {command_text(plan.program.source.words)}"
        what = "function" if plan.program.is_opaque else "Task"
        return f"lb.{self.name}(<{what} {plan.program.name!r}>, {options})"

    def _command_of_several(self, plan: Plan[S]) -> str:
        texts = [program.text for program in plan.programs]
        if None in texts:
            names = ", ".join(f"<{program.name!r}>" for program in plan.programs)
            options = ", ".join(f"{n}={value!r}" for n, value in plan.settings.model_dump(mode="json").items())
            return f"lb.{self.name}({names}, {options})"
        each = [command_text(shlex.split(text or "")) for text in texts]
        first = [word for letter, text in zip(LETTERS, each, strict=False) for word in (f"--{letter}", text)]
        commands = [one.source.options for one in plan.programs if isinstance(one.source, CommandProgram)]
        words = command_words({**(commands[0] if commands else {}), **plan.settings.model_dump()}, self.settings)
        return command_text(["lastbit", self.name, *first, *words])
