"""What two runs came to, as it is stored: plain values, with the lines of the program that they speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lastbit.stats import Estimate

__all__ = [
    "Confirmation",
    "Evidence",
    "Finding",
    "Followed",
    "Outcome",
    "PrintedDifference",
    "ProcessOutcome",
    "SourceLine",
    "Tried",
]


@dataclass(frozen=True, kw_only=True)
class SourceLine:
    """A line of a program, and those around it as they stood when it was run."""

    path: str
    number: int
    function: str
    text: str
    first: int = 0
    """Number of the first of the lines around it."""
    around: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Followed:
    """An operation on the way from where the difference arose to what is trained."""

    operation: str
    line: SourceLine | None
    shape: tuple[int, ...]
    hashes: tuple[str | None, str | None]
    """CRC-32 of its result in each run."""
    step: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Something that the runs met otherwise than each other."""

    kind: str
    said: str
    where: str
    """`train.py:12`, empty where no line is known."""
    count: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Where and why two runs differ, in the order in which it is told."""

    process: str
    optimizer: int
    """In the order of their first steps; -1 where the process ended."""
    step: int
    """The optimizer's first step that differs, counted from 1."""
    tensor: str | None
    root: str
    """The kind of place where the difference arose."""
    operation: str | None
    root_step: int
    """The process's step in which it arose, counted from 1."""
    said: str
    line: SourceLine | None
    cause: str | None
    """One of a few fixed words."""
    cause_said: str
    cure: str
    cause_line: SourceLine | None
    evidence: tuple[Evidence, ...]
    path: tuple[Followed, ...]
    unseen: tuple[str, ...]
    """What could not be looked into."""
    argument: str = ""
    """Of a number that an operation was called with, which: `split_size`."""
    values: tuple[str, str] = ("", "")
    """What that was in each run; of a setting of the optimizer too."""

    @property
    def is_setting(self) -> bool:
        """Whether a setting of the optimizer is what differs, as `lr`."""
        return self.root == "scalar" and self.operation is None and any(self.values)

    @property
    def place(self) -> SourceLine | None:
        """The line to look at first."""
        return self.line or self.cause_line


@dataclass(frozen=True, kw_only=True)
class ProcessOutcome:
    """How far one process was equal in both runs."""

    key: str
    steps: int
    """Optimizer steps after which both were compared, and equal."""
    ended: bool
    """Whether both came to their end, equal."""
    waiting: tuple[bool, bool]
    """Which waited for the other when the time ran out."""
    difference: str | None
    """How they differ: values, path, length, end, alone; None where they do not."""
    last: tuple[int | None, int | None]
    """Step of each run at which they were found to differ; None where it came no more."""
    suspects: tuple[int, ...]
    """Steps in which operations gave other results while what is trained was equal."""


@dataclass(frozen=True, kw_only=True)
class PrintedDifference:
    """The first line that only one of two runs printed or returned."""

    what: str
    """`printed`, or `returned`."""
    line: int
    """Counted from 1."""
    first: str
    second: str
    lines: int
    """Lines that differ."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one comparison of two runs came to."""

    how: str
    """`lock step`, `one after the other`, `first runs against later`, `against the record` or `in this process`."""
    steps: int
    """Of all processes, after which both runs were compared, and equal."""
    tensors: int
    """Compared at each step, of all processes."""
    bytes: int
    """Of parameters and gradients, all steps together."""
    seconds: float
    timed_out: bool
    exit_codes: tuple[int | None, int | None]
    processes: tuple[ProcessOutcome, ...]
    taken: int = 0
    """Steps that both runs took; more than `steps` where a long run was not compared at each."""
    printed: tuple[PrintedDifference, ...] = ()
    finding: Finding | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    """Under which it holds: versions, threads, hash seed, deterministic mode, device."""
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Of these, what the run in a record had otherwise."""
    failed: tuple[str, str] = ("", "")
    """How each run failed by itself, where nothing that is trained differed before; empty where it did not."""
    clocks: tuple[SourceLine, ...] = ()
    """Lines of equal runs that decide by a clock, so that they may differ at another pace."""
    stacks: tuple[str, str] = ("", "")
    """Where the threads of each run stood when the time ran out."""

    @property
    def equal(self) -> bool:
        """Whether nothing that is trained was seen to differ."""
        return all(one.difference is None for one in self.processes)


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """How often pairs of runs differ, as they are and with what the evidence suggests."""

    intervention: str
    """One of a few fixed words."""
    said: str
    """As in `run with one thread`."""
    pairs: int
    """Each way."""
    within: int
    """Steps within which a pair counts as differing."""
    differing_before: int
    differing_after: int
    before: Estimate
    """Chance that a pair differs as it is, with its 95% interval."""
    after: Estimate
    """With the change."""
    chance: float
    """That the change does nothing and as few pairs would differ all the same: Fisher's exact test, one-sided."""
    confirmed: bool
    """Whether that is at most one in twenty, and the program did not fail."""
    failed: bool = False
    """Whether a pair with the change ended before the step at which a difference was found, and so says nothing."""

    @property
    def refuted(self) -> bool:
        """Whether pairs differ, and as many of them with the change as without it."""
        return not self.failed and 0 < self.differing_before <= self.differing_after


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A cause that the evidence fits, and what came of its change."""

    cause: str
    """One of a few fixed words, as `Finding.cause`."""
    cause_said: str
    confirmation: Confirmation

    @property
    def fits(self) -> bool:
        """Whether fewer pairs differ with the change, and the program came as far."""
        found = self.confirmation
        return not found.failed and found.differing_after < found.differing_before
