"""Does an exact repeat repeat, and did the perturbation land? The two questions that come before any spread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lastbit.core.recorder import Moment
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.stored_weights import digested

__all__ = [
    "OWN_NOT_REPRODUCIBLE",
    "RECORDED",
    "Control",
    "Difference",
    "LandedRun",
    "Landing",
    "Spread",
    "compare_repeat",
    "control_of",
    "landing_of",
    "other_records",
]

OWN_NOT_REPRODUCIBLE = (
    "Look for a random draw that no seed governs (of a command, --reseed seeds those of Python, NumPy and PyTorch), or "
    "an operation without a deterministic algorithm; a run on the CPU (CUDA_VISIBLE_DEVICES= in front of the command) "
    "rules most of the latter out."
)
"""What to do where the repeat of a command or a function differs: these decide their device themselves."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where the exact repeat of an unperturbed run first differs from it."""

    cell: int
    """Which training of the study."""
    step: int
    """Optimizer step, counted from 1, at which the first difference shows."""
    what: str
    """The quantity that differs there."""
    base: float | None = None
    """Its value in the unperturbed run; None where it is not finite or not one number."""
    repeat: float | None = None
    """Its value in the repeat."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """Whether the exact repeats matched their base runs bit for bit."""

    bitwise_identical: bool
    """True only where at least one pair was compared and none differed."""
    pairs: int
    pairs_identical: int
    first_difference: Difference | None


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Smallest, median and largest of a number over runs."""

    min: float
    median: float
    max: float


@dataclass(frozen=True, kw_only=True)
class LandedRun:
    """The share of weights by which one perturbed run differs from its base; None where that was not recorded."""

    run: str
    landed: bool
    first_step: float | None = None
    last_step: float | None = None


@dataclass(frozen=True, kw_only=True)
class Landing:
    """Whether the perturbation was seen in the runs that it was meant for."""

    kind: str
    """Name of the perturbation."""
    twins: int
    """Perturbed runs whose base is there to compare with."""
    landed_fraction: float | None
    """Share of them that differed from their base at any time; None where there is none."""
    not_landed: tuple[str, ...]
    first_step_share: Spread | None
    last_step_share: Spread | None
    runs: tuple[LandedRun, ...]


def control_of(compared: Iterable[Difference | None]) -> Control:
    """Return what the comparisons of all repeats say together: one entry per pair, None where every bit is the same."""
    pairs = list(compared)
    differences = [found for found in pairs if found is not None]
    return Control(
        bitwise_identical=bool(pairs) and not differences,
        pairs=len(pairs),
        pairs_identical=len(pairs) - len(differences),
        first_difference=min(differences, key=lambda difference: difference.step, default=None),
    )


def landing_of(kind: str, runs: Sequence[LandedRun]) -> Landing:
    """Return what the comparisons of all perturbed runs with their bases say together."""
    missing = tuple(row.run for row in runs if not row.landed)
    return Landing(
        kind=kind,
        twins=len(runs),
        landed_fraction=1 - len(missing) / len(runs) if runs else None,
        not_landed=missing,
        first_step_share=_spread(row.first_step for row in runs),
        last_step_share=_spread(row.last_step for row in runs),
        runs=tuple(runs),
    )


RECORDED = ("record_", "sketch_")
"""Arrays of what was recorded of a command's steps, at steps that depend on its speed."""


def _spread(shares: Iterable[float | None]) -> Spread | None:
    known = [share for share in shares if share is not None]
    return Spread(min=min(known), median=float(np.median(known)), max=max(known)) if known else None


def other_records(one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray]) -> int | None:
    """Return the first step at which the weights of a command's runs differ, of the steps that both recorded.

    How often a run records depends on its speed; the checksum of the weights at one step does not.
    """
    if "record_key" not in one or "record_key" not in two:
        return None
    first, second = (
        dict(zip(map(tuple, a["record_key"].tolist()), a["record_checksum"], strict=True)) for a in (one, two)
    )
    steps = [key[2] for key in first.keys() & second.keys() if first[key] != second[key]]
    return min(steps, default=None)


def _other_tensor(one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray], what: str, when: Moment) -> str | None:
    """Return the name of the first tensor whose digest differs; None where none does, or none is kept."""
    name = f"{what}_{when}_digest"
    if name not in one or name not in two or len(one[name]) != len(two[name]):
        return None
    apart = np.flatnonzero((one[name] != two[name]).any(axis=1))
    names = one[f"{what}_name"] if len(one[f"{what}_name"]) == len(one[name]) else range(1, 1 + len(one[name]))
    return str(names[apart[0]]) if len(apart) else None


def compare_repeat(folder: StudyFolder, base: RunRecord, repeat: RunRecord) -> Difference | None:
    """Compare two finished runs bit for bit: the loss of every step, every metric, every array.

    Returns:
        None where every bit is the same; else the earliest step at which a difference shows.
    """
    kept, again = folder.arrays(base.run), folder.arrays(repeat.run)
    one, two = digested(kept, again), digested(again, kept)
    found: list[Difference] = []

    def differ(step: int, what: str, a: float | None = None, b: float | None = None) -> None:
        finite = [None if value is None or not np.isfinite(value) else float(value) for value in (a, b)]
        found.append(Difference(cell=base.cell, step=step, what=what, base=finite[0], repeat=finite[1]))

    # A program that is not ours keeps no losses.
    losses = [arrays.get("losses", np.empty(0)) for arrays in (one, two)]
    shared = min(map(len, losses))
    unequal = np.flatnonzero(losses[0][:shared].view(np.int64) != losses[1][:shared].view(np.int64))
    if len(unequal):
        step = int(unequal[0])
        differ(step + 1, "training loss", losses[0][step], losses[1][step])
    for name, values in base.metrics.items():
        for step, a, b in zip(base.steps, values, repeat.metrics.get(name, ()), strict=False):
            if np.float64(a).tobytes() != np.float64(b).tobytes():
                differ(step, name, a, b)
                break
    if (step_there := other_records(one, two)) is not None:
        differ(step_there, "weights")
    last = len(losses[0]) or max(base.steps, default=0)
    if "weights_first" in one and one["weights_first"].tobytes() != two["weights_first"].tobytes():
        differ(1, "weights after the first step")
    if (tensor := _other_tensor(one, two, "weights", "first")) is not None:
        differ(1, f"weights after the first step, in {tensor}")
    for what in ("weights", "buffers"):
        if (tensor := _other_tensor(one, two, what, "final")) is not None:
            differ(last, f"{what} of the result, in {tensor}")
    # Sketches and norms of the weights follow from the weights.
    compared = {name for name in set(one) | set(two) if not name.startswith((*RECORDED, "weights_final_"))}
    for name in sorted(name for name in compared if not (name.endswith("_digest") and name in one and name in two)):
        if name not in one or name not in two or one[name].tobytes() != two[name].tobytes():
            differ(last, name.replace("_", " "))
    if base.steps != repeat.steps or base.status != repeat.status:
        differ(last, "length of the run", float(len(base.steps)), float(len(repeat.steps)))
    return min(found, key=lambda difference: difference.step) if found else None
