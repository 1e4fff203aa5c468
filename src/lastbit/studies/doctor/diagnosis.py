"""What is found where two runs of a program differ: the step, the tensor, where the difference arose, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lastbit.launch.pair.tapes import Line, Tap

__all__ = ["Cause", "Diagnosis", "Intervention", "Link", "Root"]


@dataclass(frozen=True)
class Root:
    """Where the difference arose: before it everything that it was made of was equal."""

    kind: str
    """`operation`: equal inputs and other outputs; `draw`: the generator stood elsewhere; `scalar`: a number that was
    handed over; `made`: a tensor made of Python's or NumPy's values; `batch`, `load`: from a worker, or a file;
    `uninitialised`: memory that nobody had filled; `arrival`: from another thread or process; `order`: the same values
    in another order; `path`: another course; `length`: one run stepped on; `outside`: it came unseen; `compiled`: at
    the edge of a compiled kernel; `unknown`."""
    operation: str | None
    """As `aten.mm.default`; None where there is no operation to name."""
    line: Line | None
    """The user's line that called it."""
    said: str
    """One sentence: what was equal and what was not."""
    step: int
    """In which step of the process it arose, counting from 1 over all its optimizers."""
    argument: str = ""
    """What was handed over, of a number that an operation was called with, as `split_size`."""
    values: tuple[str, str] = ("", "")
    """What it was in each run."""


@dataclass(frozen=True)
class Intervention:
    """A change of how the program is run, under which the difference must go if the cause is the right one."""

    id: str
    said: str
    """As in `run with one thread`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that are set."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What is done inside the program, by name."""


@dataclass(frozen=True)
class Cause:
    """What made the difference arise, as far as the evidence goes."""

    id: str
    said: str
    """One sentence."""
    cure: str
    """One sentence."""
    intervention: Intervention | None
    """What confirms it; None where nothing simple would."""
    line: Line | None = None
    """Where the cause stands, if that is another line than the root's."""


@dataclass(frozen=True)
class Link:
    """An operation between the root and what is trained, whose results differ."""

    operation: str
    line: Line | None
    shape: tuple[int, ...]
    """Of the value that differs."""
    hashes: tuple[str | None, str | None]
    """Of the two runs; None where it is not known."""
    step: int
    """As in `Root`."""


@dataclass(frozen=True)
class Diagnosis:
    """Why two runs differ."""

    process: str
    """The key of the process in which it arose."""
    optimizer: int
    """Whose step was the first that differed, in the order of their first steps; -1 where the process ended."""
    step: int
    """Its first step that differed, counting from 1."""
    tensor: str | None
    """What differed there: a parameter, `gradient of` one, or a setting of the optimizer."""
    root: Root
    cause: Cause | None
    evidence: tuple[Tap, ...]
    """What the run met otherwise than the other, that which fits the root best first."""
    path: tuple[Link, ...]
    """From the root to what is trained."""
    unseen: tuple[str, ...]
    """What could not be looked into, a sentence each."""
    others: tuple[Cause, ...] = ()
    """What the evidence fits too, should the cause be refuted; that which fits best first."""

    @property
    def line(self) -> Line | None:
        """The line to look at."""
        if self.cause is not None and self.cause.line is not None:
            return self.cause.line
        return self.root.line
