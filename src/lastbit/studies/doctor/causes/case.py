"""What is known of a root, and what a row of the table of causes is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lastbit.launch.pair.tapes import Tap, Tape
from lastbit.studies.doctor.cut import Break
from lastbit.studies.doctor.diagnosis import Intervention, Root
from lastbit.studies.doctor.evidence import Hint

__all__ = ["CLOSE", "Case", "Row", "hinted", "of_kind"]

CLOSE = 5.0
"""What a hint weighs at least that is to be taken for the seed of a generator."""


@dataclass(frozen=True)
class Case:
    """What is known of a root."""

    found: Break
    root: Root
    hints: Sequence[Hint]
    """Those that fit best first."""
    met: Sequence[Tap]
    """All that the process met otherwise in each run, wherever it stands."""
    loaders: bool
    """Whether processes of the program only load data."""
    loading: Sequence[Tap]
    """What those met otherwise in each run."""
    siblings: bool
    """Whether other processes of the program train too, that are no ranks."""

    @property
    def tape(self) -> Tape:
        """The first run's, of the step in which it arose."""
        return self.found.step.tapes[0]

    @property
    def best(self) -> Hint | None:
        """What fits best."""
        return self.hints[0] if self.hints else None

    @property
    def drawn(self) -> bool:
        """Whether the root is a draw of torch's."""
        return self.root.kind == "draw"

    @property
    def own_generator(self) -> bool:
        """Whether the root was drawn from a generator that the program made."""
        op = self.found.ops[0]
        return op is not None and any(text.endswith("=generator") for text in op.scalars)

    def hint(self, *ids: str) -> Hint | None:
        """Return what fits best, if it is one of these."""
        return self.best if self.best is not None and self.best.id in ids else None


@dataclass(frozen=True)
class Row:
    """A cause."""

    id: str
    said: str
    """One sentence, in which `{said}` stands for what the hint says."""
    cure: str
    intervention: Intervention | None
    holds: Callable[[Case], Hint | bool | None]
    """What speaks for it: a hint with the line, or that the root itself does."""


def of_kind(*kinds: str) -> Callable[[Case], bool]:
    """Return what tells whether the root is of one of these kinds."""
    return lambda case: case.root.kind in kinds


def hinted(*ids: str) -> Callable[[Case], Hint | None]:
    """Return what tells which hint fits best, if it is one of these."""
    return lambda case: case.hint(*ids)
