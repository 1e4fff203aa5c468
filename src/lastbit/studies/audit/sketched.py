"""What the runs of a command say of their weights, of which they keep checksums and sketches and not one number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.dynamics.sketch import Sketch
from lastbit.launch.arrays import has_sketches, read_states
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.control import Spread

__all__ = ["Recorded", "Weights", "recorded", "relative_l2", "weights_of"]

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What checksums and sketches of the weights say of the controls."""

    checksums: int
    """Of an exact repeat and its base, at steps that both recorded, over all repeats."""
    checksums_equal: int
    tensors: int
    """Of all optimizers and processes."""
    weights: int
    """Elements of these tensors."""
    changed: Spread | None
    """Share of the tensors that differ in any bit between a perturbed run and its base, at the last step that both
    recorded; None where there is no such pair."""


@dataclass(frozen=True)
class Weights:
    """The sketches of one run's optimizers, by process and optimizer."""

    states: Mapping[tuple[int, int], tuple[np.ndarray, Sketch]]
    """Steps and sketches."""


def weights_of(arrays: Arrays) -> Weights | None:
    """Return the sketches among the arrays of a run; None where there are none."""
    if not has_sketches(arrays):
        return None
    states = {place: (one.steps, one.sketch) for place, one in read_states(arrays).items()}
    return Weights(states) if states else None


def relative_l2(one: Weights, two: Weights) -> float:
    """Return 2 |a - b| / (|a| + |b|) of all weights at the last step that both runs recorded, by L2 norms.

    Each of the three is estimated from sketches of 64 buckets; `dynamics.sketch_interval.distance_interval` says how
    well.

    Raises:
        LastbitError: the runs did not train the same tensors, have no step in common, or a weight is not finite.
    """
    apart = one_norm = two_norm = 0.0
    pairs = [_last(one, two, place) for place in one.states] if one.states.keys() == two.states.keys() else [None]
    for pair in pairs:
        if pair is None:
            raise LastbitError("the runs did not record the same tensors at one step: compare runs of one program")
        apart, one_norm, two_norm = (
            total + float(part) for total, part in zip((apart, one_norm, two_norm), pair[0], strict=True)
        )
    size = math.sqrt(one_norm) + math.sqrt(two_norm)
    if not math.isfinite(size):
        raise LastbitError("a weight is not finite: compare runs that did not diverge")
    return 2 * math.sqrt(apart) / size if size else 0.0


def _last(
    one: Weights, two: Weights, place: tuple[int, int]
) -> tuple[tuple[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None:
    """Return squares of distance and norms at the last step in common, and which tensors differ in any bit."""
    (steps, mine), (others, yours) = one.states[place], two.states[place]
    shared, at, there = np.intersect1d(steps, others, return_indices=True)
    if not len(shared) or mine.key != yours.key:
        return None
    last, other = int(at[-1]), int(there[-1])
    # Differences of equal parts first: a last bit is far below either sum.
    apart = (mine.values[last] - yours.values[other]) + (mine.residuals[last] - yours.residuals[other])
    squares = apart.square().sum(), mine.values[last].square().sum(), yours.values[other].square().sum()
    return squares, mine.fingerprints[last] != yours.fingerprints[other]


def recorded(folder: StudyFolder, records: Sequence[RunRecord]) -> Recorded | None:
    """Return what was recorded of the weights; None of a study that keeps no sketches."""
    usable = [record for record in records if record.status != RunStatus.CRASHED]
    bases = {
        one.cell: arrays for one in usable if one.role == Role.BASE and has_sketches(arrays := folder.arrays(one.run))
    }
    if not bases:
        return None
    checksums = equal = 0
    changed = []
    for record in usable:
        if record.role == Role.BASE or record.cell not in bases:
            continue
        arrays, base = folder.arrays(record.run), bases[record.cell]
        if record.role == Role.REPEAT:
            mine, yours = (_checksums(each) for each in (arrays, base))
            shared = mine.keys() & yours.keys()
            checksums += len(shared)
            equal += sum(mine[key] == yours[key] for key in shared)
        elif (share := _share_changed(weights_of(arrays), weights_of(base))) is not None:
            changed.append(share)
    first = next(iter(bases.values()))
    sizes = np.concatenate([first[name] for name in first if name.startswith("sketch_") and name.endswith("_size")])
    spread = Spread(min=min(changed), median=float(np.median(changed)), max=max(changed)) if changed else None
    return Recorded(
        checksums=checksums,
        checksums_equal=equal,
        tensors=len(sizes),
        weights=int(sizes.sum()),
        changed=spread,
    )


def _checksums(arrays: Arrays) -> dict[tuple[int, ...], int]:
    return dict(zip(map(tuple, arrays["record_key"].tolist()), arrays["record_checksum"].tolist(), strict=True))


def _share_changed(one: Weights | None, two: Weights | None) -> float | None:
    if one is None or two is None or one.states.keys() != two.states.keys():
        return None
    pairs = [_last(one, two, place) for place in one.states]
    differ = [pair[1] for pair in pairs if pair is not None]
    return float(torch.cat(differ).double().mean()) if len(differ) == len(pairs) else None
