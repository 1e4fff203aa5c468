"""What a process says of itself at a step: where it stands, in a line, and all that led there, as a tape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lastbit.launch.pair.facts import generators
from lastbit.launch.pair.leaves import Standing
from lastbit.launch.pair.tape import OpRecorder
from lastbit.launch.pair.tapes import Leaf, ProcessFacts, Tape
from lastbit.launch.pair.told import op_of, taps_of

__all__ = ["Said"]


@dataclass(frozen=True)
class Said:
    """A process after a step of one of its optimizers, or at its end."""

    process: ProcessFacts
    optimizer: int
    """-1 at the end."""
    step: int
    checksum: str
    stands: Standing
    names: Callable[[], Mapping[str, str]]
    """Gives the names of the parameters in the program's modules, by `group.place`; it takes a while the first time."""
    tape: OpRecorder

    @property
    def line(self) -> dict[str, Any]:
        """What a twin must say too, and how much it stands for."""
        return {
            "count": self.tape.count,
            "optimizer": self.optimizer,
            "step": self.step,
            "checksum": self.checksum,
            "ops": f"{self.tape.digest:08x}",
            "tensors": len(self.stands.leaves),
            "bytes": self.stands.size,
        }

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """The parameters by their names."""
        names = self.names()
        return tuple(replace(leaf, name=names.get(leaf.name, leaf.name)) for leaf in self.stands.leaves)

    def whole(self) -> Tape:
        """Return the tape."""
        return Tape(
            self.process,
            self.tape.count,
            self.optimizer,
            self.step,
            self.leaves,
            self.stands.hyper,
            generators(),
            tuple(taps_of()),
            tuple(op_of(self.tape.lost + place, raw) for place, raw in enumerate(self.tape.ops)),
            self.tape.lost,
        )
