"""Lines that decide by a clock: two runs at one pace may agree, and two at another may not."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from lastbit.launch.pair.recorded import ProcessSteps
from lastbit.launch.pair.tapes import Line
from lastbit.launch.site.lines import packaged
from lastbit.studies.doctor.source import Statement, statements

__all__ = ["deciding"]


def deciding(processes: Iterable[ProcessSteps]) -> tuple[Line, ...]:
    """Return the program's own lines that asked a clock and that a condition stands on, each once, in their order."""
    asked = (tap.line for process in processes for tap in process.met if tap.kind == "time")
    own = (line for line in asked if line is not None and not packaged(line.path))
    return tuple(dict.fromkeys(line for line in own if any(_decided(line))))


def _decided(line: Line) -> Iterator[bool]:
    """Tell of each statement on a line whether it is a condition, or writes what one in its function reads."""
    every = statements(line.path)
    for one in every:
        if one.first <= line.number <= one.last:
            yield _is_condition(one)
            others = (other for other in every if other.function == one.function and _is_condition(other))
            yield any(one.writes & other.reads for other in others)


def _is_condition(one: Statement) -> bool:
    return isinstance(one.node, (ast.If, ast.While)) or any(isinstance(node, ast.IfExp) for node in one.own)
