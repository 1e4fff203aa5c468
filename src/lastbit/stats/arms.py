"""The arms of a comparison: runs averaged within their seed, since the seed is what was drawn anew.

Runs of one seed share what the seed decides. Counted as independent they make up to 54% of comparisons falsely "real"
(simulated), so that every decision rests on one number a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural
from lastbit.stats._inputs import Floats, Ints, finite_array, group_index, unit_of

__all__ = ["Arm", "Arms", "read_arms", "spread_of"]

_ROUNDING = 16 * float(np.finfo(np.float64).eps)
"""Values of size 1 that differ by less are equal: averages and differences of equal numbers end that far apart."""


@dataclass(frozen=True)
class Arm:
    """One arm, in a unit in which its values are at most 1.

    Attributes:
        name: what it is called in a message.
        seeds: (n,) the distinct seeds, sorted.
        means: (n,) the mean over each seed's runs.
        runs: (n,) how many runs each seed has.
        squares: (n,) sum over a seed's runs of (value - mean)^2.
        values: the runs by themselves, one array a seed.
    """

    name: str
    seeds: NDArray[Any]
    means: Floats
    runs: Ints
    squares: Floats
    values: tuple[Floats, ...]

    @property
    def n(self) -> int:
        """How many seeds there are."""
        return len(self.means)

    @property
    def mean(self) -> float:
        """The mean over seeds, each counted once."""
        return float(self.means[0] + (self.means - self.means[0]).mean())

    @property
    def variance(self) -> float:
        """The variance of the seeds' means; NaN for one seed, 0 where they differ by rounding alone."""
        return spread_of(self.means) ** 2

    @property
    def per_run(self) -> float:
        """What part of a run's last-bit variance the mean has: 1 over the runs where seeds have as many."""
        return float((1 / self.runs).sum()) / self.n**2

    def common(self, other: Arm) -> tuple[Arm, Arm]:
        """Return both arms with the seeds that both have, in the same order.

        Raises:
            LastbitError: fewer than two such seeds, or seeds that are words in one arm and numbers in the other.
        """
        if (self.seeds.dtype.kind in "US") != (other.seeds.dtype.kind in "US"):
            raise LastbitError("one arm's seeds are words and the other's numbers: name them alike to pair them")
        shared, own, theirs = np.intersect1d(self.seeds, other.seeds, assume_unique=True, return_indices=True)
        if len(shared) < 2:
            seeds = plural(len(shared), "seed")
            raise LastbitError(f"the arms have {seeds} in common: pairs need 2 or more, or compare them unpaired")
        return self._of(own), other._of(theirs)

    def _of(self, index: Ints) -> Arm:
        values = tuple(self.values[place] for place in index)
        return Arm(self.name, self.seeds[index], self.means[index], self.runs[index], self.squares[index], values)


@dataclass(frozen=True)
class Arms:
    """Several arms in one unit: an arm's numbers times `unit` are those that were given."""

    arms: tuple[Arm, ...]
    unit: float


def spread_of(means: Floats) -> float:
    """Return the SD of numbers of size at most 1; NaN for one, exactly 0 where they differ by rounding alone."""
    if len(means) < 2:
        return float("nan")
    return float(np.std(means - means[0], ddof=1)) if np.ptp(means) > _ROUNDING else 0.0


def read_arms(values: Sequence[ArrayLike], seeds: Sequence[ArrayLike | None], names: Sequence[str]) -> Arms:
    """Return the arms with their runs averaged within each seed.

    Args:
        values: of each arm, (R,) one number per run.
        seeds: of each arm, (R,) the seed of each run, None where every run has a seed of its own.
        names: what each arm is called in messages.

    Raises:
        LastbitError: no run, NaN or an infinite value, or seeds that do not fit.
    """
    arrays = [finite_array(each, f"the runs of {name}", 1) for each, name in zip(values, names, strict=True)]
    for array, name in zip(arrays, names, strict=True):
        if not len(array):
            raise LastbitError(f"{name} has no runs: give one number per run, for at least two seeds")
    unit = unit_of(np.concatenate(arrays))
    found = [_arm(name, array / unit, own) for name, array, own in zip(names, arrays, seeds, strict=True)]
    return Arms(tuple(found), unit)


def _arm(name: str, values: Floats, seeds: ArrayLike | None) -> Arm:
    labels: NDArray[Any] = np.arange(len(values)) if seeds is None else np.asarray(seeds)
    if labels.shape != values.shape:
        given = plural(len(values), "run")
        raise LastbitError(f"the seeds of {name} must name one seed for each of its {given}, got shape {labels.shape}")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise LastbitError(f"the seeds of {name} hold a NaN: give every run its seed, or leave the run out")
    distinct, first = np.unique(labels, return_index=True)
    group = group_index(labels, len(values))
    runs: Ints = np.bincount(group)
    one: Floats = values[first]
    # About a run of the seed: equal runs then give their mean back to the last bit.
    means: Floats = one + np.bincount(group, weights=values - one[group]) / runs
    squares = np.asarray(np.bincount(group, weights=(values - means[group]) ** 2), dtype=np.float64)
    apart = tuple(np.asarray(values[group == place]) for place in range(len(runs)))
    return Arm(name, distinct, means, runs, squares, apart)
