"""Which operation of one run is which of the other's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from lastbit.launch.pair.tapes import Op, Tape

__all__ = ["Alignment", "align"]

LONGEST = 20_000
"""Operations between the equal beginning and the equal end of two tapes, beyond which frequent ones are no anchors."""


@dataclass
class Alignment:
    """The operations of two tapes, one with the other, by their indices."""

    forth: dict[int, int] = field(default_factory=dict)
    """From the first tape to the second."""
    back: dict[int, int] = field(default_factory=dict)
    alone: tuple[Op | None, Op | None] = (None, None)
    """The first operation of each that has none in the other."""

    def couple(self, first: Op, second: Op) -> None:
        """Take two operations for the same."""
        self.forth[first.index] = second.index
        self.back[second.index] = first.index


def align(first: Tape, second: Tape) -> Alignment:
    """Align two tapes of the same step, thread by thread: which thread comes when may differ from run to run.

    Operations are the same by name, line, and the shapes and types of what goes in; between those, by name and line
    alone, so that a tensor of another size does not part two runs that went the same way.
    """
    found = Alignment()
    _by_content(found, first, second)
    threads = sorted({op.thread for tape in (first, second) for op in tape.ops})
    for thread in threads:
        ours, theirs = (_left(tape, thread, known) for tape, known in ((first, found.forth), (second, found.back)))
        for mine, other in _gaps(found, ours, theirs, _closely):
            for _ in _gaps(found, mine, other, _by_line):
                pass
    found.alone = (_first(first, found.forth), _first(second, found.back))
    return found


def _by_content(found: Alignment, first: Tape, second: Tape) -> None:
    """Couple what other threads than the main one did with equal values: which of a pool does what is chance."""
    theirs: dict[Hashable, deque[Op]] = {}
    for op in second.ops:
        if op.thread:
            theirs.setdefault(_wholly(op), deque()).append(op)
    for op in first.ops:
        same = theirs.get(_wholly(op)) if op.thread else None
        if same:
            found.couple(op, same.popleft())


def _left(tape: Tape, thread: int, coupled: dict[int, int]) -> list[Op]:
    return [op for op in tape.ops if op.thread == thread and op.index not in coupled]


def _gaps(
    found: Alignment, first: Sequence[Op], second: Sequence[Op], key: Callable[[Op], Hashable]
) -> Iterator[tuple[Sequence[Op], Sequence[Op]]]:
    """Couple the operations with equal keys, and yield what lies between them on both sides."""
    ours, theirs = [key(op) for op in first], [key(op) for op in second]
    shorter = min(len(ours), len(theirs))
    begin = next((place for place in range(shorter) if ours[place] != theirs[place]), shorter)
    end = next((place for place in range(shorter - begin) if ours[-1 - place] != theirs[-1 - place]), shorter - begin)
    for place in range(begin):
        found.couple(first[place], second[place])
    for place in range(end):
        found.couple(first[-1 - place], second[-1 - place])
    first, second = first[begin : len(first) - end], second[begin : len(second) - end]
    ours, theirs = ours[begin : len(ours) - end], theirs[begin : len(theirs) - end]
    if not ours or not theirs:
        return
    matcher = SequenceMatcher(None, ours, theirs, autojunk=len(ours) > LONGEST)
    for word, low, high, bottom, top in matcher.get_opcodes():
        if word == "equal":
            for mine, other in zip(first[low:high], second[bottom:top], strict=True):
                found.couple(mine, other)
        elif word == "replace":
            yield first[low:high], second[bottom:top]


def _by_line(op: Op) -> Hashable:
    return op.name, op.backward, None if op.line is None else (op.line.path, op.line.number)


def _closely(op: Op) -> Hashable:
    return _by_line(op), tuple((value.place, value.shape, value.dtype) for value in op.inputs)


def _wholly(op: Op) -> Hashable:
    return _closely(op), op.scalars, tuple(value.hash for value in (*op.inputs, *op.outputs))


def _first(tape: Tape, coupled: dict[int, int]) -> Op | None:
    return next((op for op in tape.ops if op.index not in coupled), None)
