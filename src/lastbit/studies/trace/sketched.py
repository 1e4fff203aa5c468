"""Twins that were separate runs, of what lastbit cannot look into: how far they parted, from sketches of their weights.

Of every optimizer of every process, at the steps that the base, its repeat and all twins recorded: the L2 distance by
tensor, within the interval of `dynamics.sketch`, and whether any bit differs, which is certain. Step 0 is put in front
where the runs began equal, which the first record shows: a single perturbed step moves a weight by a few units in the
last place at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import PurePath

import numpy as np
import torch

from lastbit.dynamics.rounding import unit_roundoff
from lastbit.dynamics.sketch_interval import distance_interval
from lastbit.launch.arrays import States, read_states
from lastbit.studies.frame.kind import DTYPES
from lastbit.studies.trace.judged import rounding_arrays

__all__ = ["Sketched", "one_step", "sketched"]

Arrays = Mapping[str, np.ndarray]

_ONE_STEP = 4.0
"""Units in the last place by which one perturbed step moves every weight at most, with room for the optimizer's own
rounding: rescaling, rounding and `ulp` move one by at most 1."""


@dataclass(frozen=True)
class Sketched:
    """The twins of one optimizer.

    Attributes:
        name: `opt0`, or `rank1-opt0` where there are several processes; "" where it is the only one.
        optimizer: its class, and its process where there are several, in words.
        format: of its weights.
        steps: the last step that its base run is known to have taken.
        arrays: as `TraceRecorder.arrays` names them, where a sketch knows them: `step`, `tensor`, `size`, `l2`,
            `relative_l2`, `norm`, `all_l2`, `all_relative_l2`, `all_norm`, `first_step`, `log_removed`, and those of
            `rounding_arrays`; beside them `differs` (K, S, T), whether any bit does, `twin` (K,), names, and
            `interval` (2,), the factors that take a distance to the ends of its interval.
        left_out: the runs that did not train the same tensors in the same place.
    """

    name: str
    optimizer: str
    format: str
    steps: int
    arrays: dict[str, np.ndarray]
    left_out: tuple[str, ...]


def sketched(base: Arrays, others: Mapping[str, Arrays]) -> list[Sketched]:
    """Return the twins of every optimizer of a run.

    Processes whose weights are the same, bit for bit, in every run (the ranks of data-parallel training) are one.

    Args:
        base: arrays of the base run, of `launch.arrays`.
        others: of the exact repeat, which comes first, and of the twins, by their names; an optimizer that has no
            counterpart in the repeat is passed over.
    """
    of_base, of_others = read_states(base), {name: read_states(arrays) for name, arrays in others.items()}
    merged: list[tuple[States, dict[str, States], list[States]]] = []
    for place, mine in of_base.items():
        same = {
            name: states[place]
            for name, states in of_others.items()
            if place in states and states[place].sketch.key == mine.sketch.key
        }
        for first, runs, alike in merged:
            if first.index == mine.index and runs.keys() == same.keys() and _alike(first, mine, runs, same):
                alike.append(mine)
                break
        else:
            merged.append((mine, same, [mine]))
    several = len(merged) > 1, len({one.process for one in of_base.values()}) > 1
    found = []
    for mine, runs, alike in merged:
        if next(iter(others)) not in runs or not len(_shared(mine, *runs.values())):
            continue
        left_out = tuple(name for name in others if name not in runs)
        apart = len({first.process for first, _, _ in merged}) > 1
        found.append(
            Sketched(
                name=_name(mine, apart) if several[0] else "",
                optimizer=_words(mine, alike, several[1]),
                format=mine.format,
                steps=int(mine.steps[-1]),
                arrays=_arrays(mine, runs),
                left_out=left_out,
            )
        )
    return found


def one_step(norm: float, dtype: torch.dtype) -> float:
    """Return the largest L2 distance at which twins may be after the first perturbed step from equal weights."""
    return _ONE_STEP * 2 * unit_roundoff(dtype) * norm


def _alike(first: States, mine: States, runs: Mapping[str, States], same: Mapping[str, States]) -> bool:
    """Tell whether two optimizers of other processes have the same weights in every run, wherever both are recorded."""
    if first.process == mine.process or [size for _, size in first.sketch.key[2]] != [n for _, n in mine.sketch.key[2]]:
        return False
    for one, two in [(first, mine), *((runs[name], same[name]) for name in runs)]:
        steps, at_one, at_two = np.intersect1d(one.steps, two.steps, return_indices=True)
        if not len(steps) or not torch.equal(one.sketch.fingerprints[at_one], two.sketch.fingerprints[at_two]):
            return False
    return True


def _name(mine: States, processes: bool) -> str:
    where = f"rank{mine.rank}" if mine.rank is not None else f"process{mine.process}"
    return f"{where}-opt{mine.index}" if processes else f"opt{mine.index}"


def _words(mine: States, alike: Sequence[States], processes: bool) -> str:
    """Return what an optimizer is called: `Adam`, `Adam of ranks 0 and 1`, `SGD of process 1 (train.py)`."""
    if not processes:
        return mine.optimizer
    ranks = [str(one.rank) for one in alike if one.rank is not None]
    if len(ranks) == len(alike):
        listed = f"{', '.join(ranks[:-1])} and {ranks[-1]}" if len(ranks) > 1 else ranks[0]
        return f"{mine.optimizer} of {'ranks' if len(ranks) > 1 else 'rank'} {listed}"
    places = ", ".join(str(one.process) for one in alike)
    program = f" ({PurePath(mine.program).name})" if mine.program else ""
    return f"{mine.optimizer} of process {places}{program}"


def _shared(*states: States) -> np.ndarray:
    return reduce(np.intersect1d, (one.steps for one in states))


def _arrays(base: States, runs: Mapping[str, States]) -> dict[str, np.ndarray]:
    steps = _shared(base, *runs.values())
    own, *others = (_at(one, steps) for one in (base, *runs.values()))
    no_run = np.zeros((0, len(steps), len(base.sketch.key[2])))
    l2 = np.stack([_lengths(one[0] - own[0], one[1] - own[1]) for one in others]) if others else no_run
    differs = np.stack([one[2] != own[2] for one in others]) if others else no_run.astype(bool)
    norm = _lengths(own[0], own[1])
    names, sizes = zip(*base.sketch.key[2], strict=True)
    dtype = DTYPES.get(base.format, torch.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        all_norm, all_l2 = np.linalg.norm(norm, axis=-1), np.linalg.norm(l2, axis=-1)
        began_equal = steps[0] == 1 and not base.forked and bool((all_l2[:, 0] <= one_step(all_norm[0], dtype)).all())
    if began_equal:
        steps = np.append(0, steps)
        # The norm before the first step is that after it, but for one update.
        norm, all_norm = (np.concatenate([x[:1], x]) for x in (norm, all_norm))
        l2, all_l2, differs = (np.concatenate([np.zeros_like(x[:, :1]), x], axis=1) for x in (l2, all_l2, differs))
    # Nothing more can be learnt once a weight is not finite.
    broken = np.flatnonzero(~(np.isfinite(all_norm) & np.isfinite(all_l2).all(axis=0)))
    end = int(broken[0]) + 1 if len(broken) else len(steps)
    steps, norm, all_norm = steps[:end], norm[:end], all_norm[:end]
    l2, all_l2, differs = l2[:, :end], all_l2[:, :end], differs[:, :end]
    ever = differs.any(axis=1)
    return {
        "step": steps,
        "tensor": np.array(names),
        "size": np.array(sizes),
        "twin": np.array(list(runs), dtype=np.str_),
        "l2": l2,
        "relative_l2": _ratio(l2, norm),
        "norm": norm,
        "all_l2": all_l2,
        "all_relative_l2": _ratio(all_l2, all_norm),
        "all_norm": all_norm,
        "differs": differs,
        "first_step": np.where(ever, steps[differs.argmax(axis=1)], -1),
        "log_removed": np.zeros_like(all_l2),
        "interval": np.array(distance_interval(base.sketch.key[1])),
        **rounding_arrays(steps, all_norm, dtype),
    }


def _at(one: States, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, residuals and fingerprints at some of the recorded steps."""
    rows = np.searchsorted(one.steps, steps)
    sketch = replace(
        one.sketch,
        values=one.sketch.values[rows],
        residuals=one.sketch.residuals[rows],
        fingerprints=one.sketch.fingerprints[rows],
    )
    found = sketch.arrays()
    return found["values"], found["residuals"], found["fingerprints"]


def _lengths(values: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.linalg.norm(values + residuals, axis=-1))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Return `top / bottom`, 0/0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(top == 0, 0.0, top / bottom)
