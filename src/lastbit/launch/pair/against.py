"""Two records of a program held against each other, process by process and step by step."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.pair.outcome import Difference, ProcessPair
from lastbit.launch.pair.recorded import ProcessSteps, RunRecord

__all__ = ["check_alike", "held_against"]

_SUSPECTS = 3


def check_alike(recorded: RunRecord, present: RunRecord, file: Path) -> None:
    """Check that two records are of the same program, with the same ranks and parameters.

    Args:
        recorded: the one that was handed on.
        present: the one just made.
        file: of the first, for messages.

    Raises:
        LastbitError: they are not, which says in what.
    """
    if recorded.ranks != present.ranks:
        counts = [str(len(one.ranks) or "no") for one in (recorded, present)]
        raise LastbitError(f"{file} is of a run with {counts[0]} ranks, and this one has {counts[1]}: start as many")
    first, second = ({one.key: one for one in record.processes} for record in (recorded, present))
    common = first.keys() & second.keys()
    if not common:
        names = [", ".join(sorted({key for key, _ in keys})) or "nothing" for keys in (first, second)]
        raise LastbitError(f"{file} is of another program: it trained in {names[0]}, and this run in {names[1]}")
    for key in sorted(common):
        leaves = [_shapes(one[key]) for one in (first, second)]
        for theirs, mine in zip_longest(*leaves, fillvalue="no parameter"):
            if theirs != mine:
                raise LastbitError(
                    f"{file} is of other parameters: {theirs} there, {mine} here; record the program as it is now"
                )


def _shapes(process: ProcessSteps) -> list[str]:
    optimizer = process.steps[0]["optimizer"] if process.steps else 0
    leaves = process.parameters(optimizer, 0)["leaves"]
    return [f"{leaf['name']} {tuple(leaf['shape'])} {leaf['dtype']}" for leaf in leaves]


def held_against(first: RunRecord, second: RunRecord) -> tuple[ProcessPair, ...]:
    """Return what became of every process of either run, up to the first step at which the two differ."""
    sides = [{one.key: one for one in record.processes} for record in (first, second)]
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    return tuple(_pair(key, sides[0].get(key), sides[1].get(key)) for key in keys)


def _pair(key: tuple[str, int], first: ProcessSteps | None, second: ProcessSteps | None) -> ProcessPair:
    either = first or second
    assert either is not None
    found: Difference | None = None
    suspects: list[Difference] = []
    steps = tensors = size = 0
    ended = False
    if first is None or second is None:
        found = _difference("alone", key, 0, (first, second))
    else:
        for place in range(max(len(first.steps), len(second.steps))):
            kind = _kind(first, second, place)
            if kind in ("", "operations"):
                step = first.steps[place]
                ended = step["optimizer"] < 0
                if not ended:
                    steps, tensors, size = steps + 1, step["tensors"], size + step["bytes"]
                if kind and len(suspects) < _SUSPECTS:
                    suspects.append(_difference(kind, key, place, (first, second)))
            else:
                found = _difference(kind, key, place, (first, second))
                break
    pids = tuple(None if one is None else one.begin["pid"] for one in (first, second))
    begin = either.begin
    return ProcessPair(
        *key,
        begin["rank"],
        begin["program"],
        (pids[0], pids[1]),
        steps,
        tensors,
        size,
        ended and found is None,
        (False, False),
        found,
        tuple(suspects),
    )


def _kind(first: ProcessSteps, second: ProcessSteps, place: int) -> str:
    """Return how two processes differ at a step; nothing where they do not."""
    if place >= min(len(first.steps), len(second.steps)):
        return "length"
    one, other = first.steps[place], second.steps[place]
    if (one["optimizer"], one["step"]) != (other["optimizer"], other["step"]):
        return "length" if -1 in (one["optimizer"], other["optimizer"]) else "path"
    if one["checksum"] != other["checksum"]:
        return "values" if one["optimizer"] >= 0 else "end"
    return "operations" if one["ops"] != other["ops"] else ""


def _difference(
    kind: str, key: tuple[str, int], place: int, both: tuple[ProcessSteps | None, ProcessSteps | None]
) -> Difference:
    steps: list[tuple[int, int] | None] = []
    tapes = []
    for one in both:
        there = one is not None and place < len(one.steps)
        step: dict[str, Any] | None = one.steps[place] if one is not None and there else None
        steps.append(None if step is None else (step["optimizer"], step["step"]))
        tapes.append(one.tape(place) if one is not None and there else None)
    return Difference(kind, *key, place, (steps[0], steps[1]), (tapes[0], tapes[1]))
