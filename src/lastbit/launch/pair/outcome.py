"""What two runs of a program came to, process by process, and where they were no longer equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lastbit.launch.command import CommandRun
from lastbit.launch.pair.tapes import Tap, Tape

__all__ = ["Difference", "Met", "Pair", "ProcessPair"]


@dataclass(frozen=True)
class Difference:
    """Where two processes were no longer equal."""

    kind: str
    """`values`: what is trained, its gradients or settings; `path`: another optimizer stepped; `length`: one ended
    before the other's next step; `end`: what is trained differs after the last step; `alone`: the other run has no
    such process; `operations`: only results of operations differ, and nothing that is trained."""
    key: str
    """Of the process."""
    place: int
    """Among those of the same key."""
    count: int
    """Exchanges before it, all equal."""
    steps: tuple[tuple[int, int] | None, tuple[int, int] | None]
    """Optimizer and its step of each run; -1 and 0 at the end of the process; None where it came no more."""
    tapes: tuple[Tape | None, Tape | None]
    since: int | None = None
    """Exchanges up to the last at which both were compared and equal, where not all that follow are compared."""


@dataclass(frozen=True)
class ProcessPair:
    """A process of the program, in both runs."""

    key: str
    """The program, with its rank, its place among the processes of `multiprocessing` and among forked ones."""
    place: int
    rank: int | None
    program: str
    pids: tuple[int | None, int | None]
    steps: int
    """Optimizer steps after which both were compared, and equal."""
    tensors: int
    """Compared at the last of them."""
    compared: int
    """Bytes of parameters and gradients, all steps together."""
    ended: bool
    """Whether both came to their end, equal."""
    waiting: tuple[bool, bool]
    """Which was waiting for the other when the time ran out."""
    difference: Difference | None
    suspects: tuple[Difference, ...]
    """The first steps whose operations gave other results, while what is trained was equal."""
    taken: int
    """Optimizer steps that both took; more than `steps` where a long run was not compared at each."""
    checksums: Mapping[int, str] = field(default_factory=dict)
    """Of what both had after some of the steps, by the number of steps before; which they are depends on that alone."""


Met = tuple[tuple[str, tuple[Tap, ...]], ...]


@dataclass(frozen=True)
class Pair:
    """What two runs of a program left behind."""

    runs: tuple[CommandRun | None, CommandRun | None]
    """None for one of which there is the record alone."""
    processes: tuple[ProcessPair, ...]
    """Those that made an optimizer step in either run."""
    seconds: float
    timed_out: bool
    taps: tuple[Met, Met] = ((), ())
    """What processes of each run met that train nothing, as workers that load data, with their keys."""
    stacks: tuple[str, str] = ("", "")
    """Where the threads of each run's processes stood when the time ran out, as `faulthandler` writes it."""
    stopped: tuple[bool, bool] = (False, False)
    """Which was ended from outside, once a difference was found, so that how it ended says nothing."""

    @property
    def steps(self) -> int:
        """Of all processes, after which both were compared, and equal."""
        return sum(process.steps for process in self.processes)

    @property
    def taken(self) -> int:
        """Of all processes, that both runs took."""
        return sum(process.taken for process in self.processes)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Of all processes; those with fewer exchanges before them first."""
        found = [process.difference for process in self.processes if process.difference is not None]
        return tuple(sorted(found, key=lambda one: one.count))

    @property
    def identical(self) -> bool:
        """Whether every process came to its end in both runs and was equal at every step."""
        return bool(self.processes) and not self.timed_out and all(process.ended for process in self.processes)

    def check(self) -> None:
        """Check that there was something to compare.

        Raises:
            LastbitError: no optimizer made a step, which says how far lastbit got.
        """
        for run in self.runs:
            if run is not None and not self.processes:
                run.check_steps(0)
