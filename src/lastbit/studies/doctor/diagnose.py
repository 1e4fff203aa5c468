"""Where two runs differ, and why: from the first step that differed back to the root, and from there to the cause."""

from __future__ import annotations

from lastbit.launch.pair.outcome import Difference, Pair, ProcessPair
from lastbit.launch.pair.tapes import Tap
from lastbit.report.formatting import count
from lastbit.studies.doctor.causes.case import Case
from lastbit.studies.doctor.causes.table import causes_of
from lastbit.studies.doctor.cut import Break, Chain, Cut
from lastbit.studies.doctor.diagnosis import Cause, Diagnosis, Root
from lastbit.studies.doctor.evidence import differing, differing_in_workers, hints
from lastbit.studies.doctor.roots import first_of, root_of
from lastbit.studies.doctor.steps import Step

__all__ = ["diagnose"]

_FOLLOWED = 8
"""Tensors that are followed back to the root; more of them lead there too."""

_READ = ("clock", "seed-clock", "seed-fallback", "hash-order", "object-order", "address-order")
"""Causes that may be known from the source alone."""


def diagnose(pair: Pair) -> Diagnosis | None:
    """Say why the runs of a pair differ.

    Of several processes that differ, that one counts in which a difference arose and did not arrive.

    Args:
        pair: what the two runs came to.

    Returns:
        None where no process differs.
    """
    found = [_process(process, pair) for process in pair.processes if process.difference is not None]
    return min(found, key=_order, default=(None, 0))[0]


def _order(found: tuple[Diagnosis, int]) -> tuple[int, int]:
    """Return by what one process's root comes before another's."""
    root = found[0].root
    handed_on = root.kind == "arrival" and "c10d" in (root.operation or "") and "recv" not in (root.operation or "")
    return (0 if root.kind not in ("arrival", "unknown", "outside") else 2 if handed_on else 1), found[1]


def _process(process: ProcessPair, pair: Pair) -> tuple[Diagnosis, int]:
    difference = process.difference
    assert difference is not None
    optimizer, number = next((step for step in difference.steps if step is not None and step[0] >= 0), (-1, 0))
    last = _step(difference)
    if last is None:
        said = "Of the step no operation was recorded."
        if difference.kind == "alone":
            said = "Only one of the runs has this process."
        elif difference.since is not None and difference.since < difference.count:
            said = (
                f"The runs were last compared after step {count(difference.since)}, and were equal; of the steps from "
                "there on nothing was recorded but checksums, at ever fewer of them."
            )
        root = Root("length" if difference.kind == "alone" else "unknown", None, None, said, difference.count + 1)
        return Diagnosis(process.key, optimizer, number, None, root, None, (), (), (said,)), difference.count
    steps = [step for step in map(_step, process.suspects) if step is not None and step.count < last.count]
    steps = [*sorted(steps, key=lambda step: step.count), last]
    found = _followed(difference, steps)
    root = root_of(found)
    evidence = hints(found, root, steps, pair.taps)
    met = differing(last.tapes[0].taps, last.tapes[1].taps)
    others = [one for one in pair.processes if one.rank is None and one.key != process.key]
    loaders, loading = any(map(bool, pair.taps)), differing_in_workers(pair.taps)
    causes = causes_of(Case(found, root, evidence, met, loaders, loading, bool(others)))
    cause = causes[0] if causes else None
    taps: tuple[Tap, ...] = tuple(hint.tap for hint in evidence if hint.tap is not None)
    unseen = tuple(_unseen(root, cause, taps, steps))
    path = found.chain.links
    return Diagnosis(
        process.key, optimizer, number, found.chain.label or None, root, cause, taps, path, unseen, causes[1:]
    ), root.step


def _step(difference: Difference) -> Step | None:
    first, second = difference.tapes
    return Step((first, second)) if first is not None and second is not None else None


def _followed(difference: Difference, steps: list[Step]) -> Break:
    """Return where what differs arose."""
    cut, last = Cut(steps), steps[-1]
    if difference.kind in ("path", "length"):
        cut.part(last, "")
        found = first_of(cut.breaks)
        assert found is not None
        if found.kind == "path" and difference.kind == "length":
            return Break("length", found.step, found.ops, found.values, found.chain, found.place)
        return found
    both = [
        (mine, other)
        for mine, other in zip(last.tapes[0].parameters, last.tapes[1].parameters, strict=False)
        if (mine.hash_before, mine.grad_hash, mine.hash_after) != (other.hash_before, other.grad_hash, other.hash_after)
    ]
    graded = [pair for pair in both if pair[0].grad_hash != pair[1].grad_hash]
    setting = _setting(last)
    if setting is not None and not graded:
        return setting
    for mine, other in (graded or both)[:_FOLLOWED]:
        if graded:
            cut.leaf(last, (mine, other), f"gradient of {mine.name}", (mine.grad_storage, other.grad_storage))
        else:
            cut.leaf(last, (mine, other), mine.name, (mine.storage, other.storage))
    nothing = Break("unknown", last, (None, None), (None, None), Chain(""), len(last.tapes[0].ops))
    return first_of(cut.breaks) or nothing


def _setting(last: Step) -> Break | None:
    """Return where the settings of the optimizer differ."""
    first, second = (tape.hyper for tape in last.tapes)
    for name in first.keys() & second.keys():
        if first[name] != second[name]:
            ops = [tape.ops[-1] if tape.ops else None for tape in last.tapes]
            label = name.partition(".")[2] or name
            detail = (f"={first[name]}", f"={second[name]}")
            return Break("hyper", last, (ops[0], ops[1]), (None, None), Chain(label), len(last.tapes[0].ops), detail)
    return None


def _unseen(root: Root, cause: Cause | None, taps: tuple[Tap, ...], steps: list[Step]) -> list[str]:
    """Return what could not be looked into, where it matters."""
    said = []
    if cause is not None and cause.id in _READ and not any(tap.kind == "time" for tap in taps):
        said.append(
            "What datetime, hash(), id() and sets give is not heard: that a line asks for it is read in its source."
        )
    if cause is not None and cause.id == "unfilled-array":
        said.append(
            "What an array of numpy.empty holds is not looked at: that a line asks for it is read in its source."
        )
    if root.kind == "operation" and cause is None:
        said.append(
            f"PyTorch does not list {root.operation} as an operation that is not deterministic: on a CPU with as many "
            "threads, equal inputs give one result, unless memory is written while it is read."
        )
    if root.kind == "compiled":
        said.append("What happens inside a compiled kernel is not seen: run without torch.compile to look further.")
    if root.kind == "outside":
        said.append("Writes through NumPy, through .data and from other processes or compiled kernels are not seen.")
    if root.kind in ("order", "arrival"):
        said.append(
            "Where the order arose is not seen, only where it showed: orders are Python's, and leave no operation."
        )
    if root.kind in ("path", "length"):
        said.append("Decisions of the program are not seen, only that the two runs went apart after equal operations.")
    if root.kind == "made" and cause is None:
        said.append("How the values were made in Python or NumPy is not seen, only the line on which they came in.")
    if any(tape.lost for step in steps for tape in step.tapes):
        said.append("The step had more operations than are kept; the first of them were dropped.")
    return said
