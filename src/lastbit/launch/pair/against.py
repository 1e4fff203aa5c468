"""Two records of a program held against each other, process by process and step by step."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.pair.outcome import Difference, ProcessPair
from lastbit.launch.pair.pace import is_sampled
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
    cut = first.cut or second.cut
    return tuple(_pair(key, sides[0].get(key), sides[1].get(key), cut=cut) for key in keys)


def _pair(key: tuple[str, int], first: ProcessSteps | None, second: ProcessSteps | None, *, cut: bool) -> ProcessPair:
    both = (first, second)
    begin = next(one.begin for one in both if one is not None)
    found: Difference | None = None
    suspects: list[Difference] = []
    steps = tensors = size = since = 0
    ended = False
    checksums: dict[int, str] = {}
    if first is None or second is None:
        found = _difference("alone", key, 0, both)
    else:
        for count in _comparable(first, second, cut=cut):
            step = first.at(count)
            kind = _kind(step, second.at(count))
            if kind not in ("", "operations"):
                found = replace(_difference(kind, key, count, both), since=since)
                break
            assert step is not None
            ended, since = step["optimizer"] < 0, count + 1
            if is_sampled(count):
                checksums[count] = step["checksum"]
            if not ended:
                steps, tensors, size = steps + 1, step["tensors"], size + step["bytes"]
            if kind and len(suspects) < _SUSPECTS:
                suspects.append(_difference(kind, key, count, both))
    pids = tuple(None if one is None else one.begin["pid"] for one in both)
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
        min(one.taken for one in both if one is not None),
        checksums,
    )


def _comparable(first: ProcessSteps, second: ProcessSteps, *, cut: bool) -> list[int]:
    """Return the steps that both records have, by the number of steps before them; and where only one of them goes on.

    Where a process was ended by force and not every step of it was recorded, where it ended is not known.
    """
    both = {step["count"] for step in first.steps} & {step["count"] for step in second.steps}
    known = first.ended or second.ended or (first.whole and second.whole)
    if known and not cut and (first.taken, first.ended) != (second.taken, second.ended):
        both.add(min(first.taken, second.taken))
    return sorted(both)


def _kind(one: dict[str, Any] | None, other: dict[str, Any] | None) -> str:
    """Return how two processes differ at a step; nothing where they do not."""
    if one is None or other is None:
        return "length"
    if (one["optimizer"], one["step"]) != (other["optimizer"], other["step"]):
        return "length" if -1 in (one["optimizer"], other["optimizer"]) else "path"
    if one["checksum"] != other["checksum"]:
        return "values" if one["optimizer"] >= 0 else "end"
    recorded = one["ops"] is not None and other["ops"] is not None
    return "operations" if recorded and one["ops"] != other["ops"] else ""


def _difference(
    kind: str, key: tuple[str, int], count: int, both: tuple[ProcessSteps | None, ProcessSteps | None]
) -> Difference:
    steps: list[tuple[int, int] | None] = []
    tapes = []
    for one in both:
        step = None if one is None else one.at(count)
        steps.append(None if step is None else (step["optimizer"], step["step"]))
        tapes.append(None if one is None or step is None else one.tape(one.places[count]))
    return Difference(kind, *key, count, (steps[0], steps[1]), (tapes[0], tapes[1]))
