"""Results of operations that differ between two steps after which everything that is trained was equal.

An LSTM's workspace, a clock that is only logged: they differ at every step. The first time is kept as a suspect, for it
may come to harm later, through a buffer or a memory; from there on they are left out of the comparison.
"""

from __future__ import annotations

from collections import Counter

from lastbit.launch.pair.operations import RECEIVES
from lastbit.launch.pair.tapes import Line, Op, Tape
from lastbit.launch.site.lines import Place

__all__ = ["Output", "differing", "harmless"]

Output = tuple[str, str, Place | None]
"""An operation, the place of one of its results, and the user's line."""


def differing(first: Tape, second: Tape) -> set[Output]:
    """Return the results that only one of two tapes has, in whatever order they came."""
    mine, others = _results(first), _results(second)
    return {output for output, _ in (mine - others) | (others - mine)}


def harmless(tape: Tape, outputs: set[Output]) -> bool:
    """Tell whether none of these results was made of another one of them: what is a workspace only, feeds nothing.

    What another thread has prepared may be taken later.
    """
    made: set[tuple[int, int]] = set()
    for op in tape.ops:
        mine = [value for value in op.outputs if _output(op, value.place) in outputs]
        fed = any(value.origin is not None and (value.origin.op, value.storage) in made for value in op.inputs)
        if mine and (fed or op.thread):
            return False
        made |= {(op.index, value.storage) for value in mine}
    return True


def _results(tape: Tape) -> Counter[tuple[Output, str]]:
    # What other processes send comes when it comes, and counts where it is used.
    ops = [op for op in tape.ops if not op.name.startswith(RECEIVES)]
    return Counter((_output(op, value.place), value.hash) for op in ops for value in op.outputs if value.hash)


def _output(op: Op, place: str) -> Output:
    return op.name, place, _place(op.line)


def _place(line: Line | None) -> Place | None:
    return None if line is None else (line.path, line.number, line.function)
