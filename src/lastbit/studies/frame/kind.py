"""What a kind of study says of itself; the frame does the rest: begin, resume, rehearse, run, conclude, present."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch

from lastbit.core.config import Config
from lastbit.core.device import resolve_device
from lastbit.core.status import Role
from lastbit.store import RunFiles, RunRecord, StudyFolder
from lastbit.studies.frame.control import Difference
from lastbit.studies.frame.program import Program
from lastbit.studies.frame.result import Result
from lastbit.tasks import Task, TaskConfig

if TYPE_CHECKING:
    from lastbit.report.blocks import Page
    from lastbit.studies.frame.study import Study

__all__ = ["DTYPES", "Cell", "Job", "Kind", "Plan", "Trained", "Work"]

S = TypeVar("S", bound=Config)
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


@dataclass(frozen=True)
class Plan(Generic[S]):
    """What a study is asked to be: settings, program and cells, all checked."""

    settings: S
    program: Program
    cells: tuple[Cell, ...]

    def task(self, cell: Cell) -> Task:
        """Return what a cell trains."""
        return self.program.task(cell.program)

    def settings_of(self, cell: Cell) -> S:
        """Return the settings of the study as a cell takes them."""
        return self.settings.model_copy(update=dict(cell.settings)) if cell.settings else self.settings

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        return resolve_device(getattr(self.settings, "device", "cpu"))


@dataclass(frozen=True, kw_only=True)
class Work(Generic[S]):
    """One job in the hands of a worker."""

    job: Job
    task: Task
    settings: S
    device: torch.device
    files: Callable[[str], RunFiles]
    """The files of a run, by its name."""
    progress: Callable[[int], None]
    """Told the number of steps taken, a few times a second."""
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


class Kind(ABC, Generic[S, R]):
    """One kind of study: one command, one function, one page."""

    name: ClassVar[str]
    """Name of the command."""
    called: ClassVar[str]
    """What a study of this kind is called in a sentence (`"an audit"`)."""
    counted: ClassVar[str] = "trainings"
    """What its progress counts."""
    sweeps: ClassVar[Collection[str]] = ()
    """Settings of the task that may hold several values, an axis of a sweep each."""
    arguments: ClassVar[Collection[str]] = ()
    """Settings that a task in a file takes as arguments of its function."""
    decides: ClassVar[Collection[str]] = ()
    """Settings of the task that this kind decides itself."""
    settings: type[S]
    """What the study has besides its program."""
    result: type[R]
    study: type[Study[R]]

    def defaults(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return settings of a built-in task that this kind prefers to the task's own, given those that were asked."""
        return {}

    def settle(self, settings: S, program: Program) -> S:
        """Return the settings with what follows from the program filled in.

        Raises:
            LastbitError: the two do not go together; says what to write instead.
        """
        return settings

    @abstractmethod
    def cells(self, settings: S, program: Program) -> list[Cell]:
        """Return the trainings of the study."""

    def jobs(self, plan: Plan[S]) -> list[Job]:
        """Return what is to be done, in the order in which it is begun; by default one job for each cell."""
        return [Job(cell=cell, run=cell.name, label=cell.label) for cell in plan.cells]

    @abstractmethod
    def rehearse(self, plan: Plan[S]) -> None:
        """Take a step of what is planned, so that what no run would survive is said before a folder is made.

        Raises:
            LastbitError: parts that do not go together, or the task's own code raised.
        """

    @abstractmethod
    def train(self, work: Work[S]) -> Trained:
        """Do one job and write its arrays; called in a worker process, or in the caller's."""

    def steps(self, settings: S, task: Task) -> int:
        """Return the optimizer steps of one training."""
        return task.total_steps

    def sample(self, plan: Plan[S], tasks: Mapping[int, Task]) -> Cell:
        """Return the cell whose steps say best how the study should be executed."""
        return plan.cells[0]

    def threads(self, tasks: Mapping[int, Task]) -> int | None:
        """Return the intra-op threads of trainings that stay in this process; None for torch's own number."""
        return None

    def announce(self, plan: Plan[S], jobs: Sequence[Job], steps: int) -> str:
        """Return what is about to be done, in a few words."""
        return f"{self.name} of {len(jobs)} {self.counted} x {steps} steps"

    def so_far(self, records: Sequence[RunRecord], task: Task) -> str:
        """Return what the runs that are in say, in a few words for the progress."""
        return ""

    def differs(self, folder: StudyFolder, records: Mapping[str, RunRecord], cell: Cell) -> Difference | None:
        """Return where a cell's exact repeat first differs, which makes every other run pointless."""
        return None

    @abstractmethod
    def conclude(self, folder: StudyFolder) -> R:
        """Return what the runs that are in say."""

    @abstractmethod
    def page(self, folder: StudyFolder, result: R) -> Page:
        """Compose the page that terminal text, Markdown and HTML are rendered from."""

    def command(self, plan: Plan[S]) -> str:
        """Return the command, or the Python call, that repeats the study exactly."""
        from lastbit.studies.frame.settings import command_line

        if isinstance(plan.program.source, TaskConfig):
            program = {name: v for name, v in plan.program.settings().items() if name not in self.decides}
            return command_line(self.name, {**program, **plan.settings.model_dump()})
        options = ", ".join(f"{name}={value!r}" for name, value in plan.settings.model_dump(mode="json").items())
        return f"lb.{self.name}(<Task {plan.program.name!r}>, {options})"
