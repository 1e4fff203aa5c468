"""What a session of candidates declares, and where it stands: the input of `lastbit.stats.gate.look`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural
from lastbit.stats._inputs import Floats, finite_array, unit_of

__all__ = ["OWN_SPREAD_FROM", "Candidate", "GateRules", "Session", "mean_of", "promised_share", "squares_of"]

OWN_SPREAD_FROM = 4
"""Runs from which a candidate's own variance is looked at: that of three is known to a factor of 40."""


@dataclass(frozen=True, kw_only=True)
class GateRules:
    """What a session declares before its first candidate.

    The last look is at 16 runs, which one candidate in 25 reaches: with the last at 8, the same rules find 26% instead
    of 42% of the good candidates for as many runs in all, and candidates that spread more than the baseline break the
    level. Simulated in `tests/stats/test_gate_levels.py`.

    Attributes:
        error_rate: largest expected share of false keeps among the keeps of a session.
        candidates: how many will be compared, N.
        looks: runs of the candidate at each look.
        baseline_sizes: runs of the baseline at each look, at least.
        futility: z below which a candidate is discarded, for each look but the last.
        shares: each look's part of alpha_i; a look without one keeps nothing.
        flag_spread: variance, as a multiple of the baseline's, from which a candidate is flagged.
        most_spread: variance, as a multiple of the baseline's, from which a candidate is not kept.

    Raises:
        LastbitError: a number out of its range, or lists that do not fit each other.
    """

    error_rate: float = 0.05
    candidates: int = 100
    looks: tuple[int, ...] = (1, 2, 4, 8, 16)
    baseline_sizes: tuple[int, ...] = (5, 8, 8, 16, 32)
    futility: tuple[float, ...] = (0.25, 0.75, 1.25, 2.25)
    shares: tuple[float, ...] = (0.0, 0.0, 0.0, 0.1, 0.9)
    flag_spread: float = 2.0
    most_spread: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.error_rate < 1:
            raise LastbitError(f"error_rate = {self.error_rate}: the share of false keeps lies between 0 and 1")
        if self.candidates < 1:
            raise LastbitError(f"candidates = {self.candidates}: declare at least one candidate")
        sizes = {len(self.looks), len(self.baseline_sizes), len(self.shares), len(self.futility) + 1}
        if len(sizes) > 1 or not self.looks:
            raise LastbitError("each look needs a number of baseline runs, a share, and all but the last a bound")
        if self.looks[0] < 1 or any(a >= b for a, b in zip(self.looks, self.looks[1:], strict=False)):
            raise LastbitError(f"looks = {self.looks}: looks come after 1, 2, 4, ... runs, each after more")
        if self.baseline_sizes[0] < 2 or list(self.baseline_sizes) != sorted(self.baseline_sizes):
            raise LastbitError(
                f"baseline_sizes = {self.baseline_sizes}: at least 2 runs, and never fewer at a later look"
            )
        if min(self.shares) < 0 or self.shares[-1] == 0 or not math.isclose(sum(self.shares), 1):
            raise LastbitError(f"shares = {self.shares}: parts of 1 that add up to 1, the last look's above 0")
        if any(part and n < OWN_SPREAD_FROM for n, part in zip(self.looks, self.shares, strict=True)):
            raise LastbitError(f"shares = {self.shares}: nothing is kept before {plural(OWN_SPREAD_FROM, 'run')}")
        if not 1 <= self.flag_spread <= self.most_spread:
            raise LastbitError(
                f"flag_spread = {self.flag_spread}, most_spread = {self.most_spread}: both at least 1, the second not "
                "below the first"
            )

    def alpha(self, keeps: int) -> float:
        """Return alpha_i = error_rate (K + 1) / N of a candidate claimed after `keeps` keeps."""
        return self.error_rate * (keeps + 1) / self.candidates


def promised_share(error_rate: float, claimed: Sequence[int], *, left: int = 0, declared: int = 1) -> float:
    """Return the largest expected share of false keeps in a session that declared anew on its way.

    It is error_rate times the sum of 1 / N_i, N_i the candidates declared when candidate i was claimed: `error_rate`
    for the N that were declared, and less than twice that where a session goes on once with a larger N.

    Args:
        error_rate: the share promised to the session as first declared.
        claimed: N_i of each candidate claimed.
        left: candidates that may still be claimed.
        declared: candidates declared now.

    Raises:
        LastbitError: fewer than one candidate declared, or fewer than none left.

    Example:
        >>> round(promised_share(0.05, [100] * 60, left=40, declared=100), 4)
        0.05
        >>> round(promised_share(0.05, [100] * 100, left=50, declared=150), 4)
        0.0667
    """
    if any(n < 1 for n in (*claimed, declared)) or left < 0:
        raise LastbitError("candidates are declared and left in whole numbers: at least 1 declared, none or more left")
    return error_rate * (math.fsum(1 / n for n in claimed) + left / declared)


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where a session stands for one candidate.

    Attributes:
        baseline: values of the baseline that the candidate is compared with.
        earlier_sigma: SD of a run, pooled over the session's earlier baselines; 0 where there are none.
        earlier_df: its degrees of freedom.
        keeps: K, keeps when the candidate was claimed.
        runs_left: runs that may still be spent; None for no limit.
    """

    baseline: tuple[float, ...] = ()
    earlier_sigma: float = 0.0
    earlier_df: int = 0
    keeps: int = 0
    runs_left: int | None = None

    @classmethod
    def of(cls, baselines: Sequence[ArrayLike], *, keeps: int = 0, left: int | None = None) -> Session:
        """Return the session of these baselines: one row of values each, the present one last.

        Raises:
            LastbitError: no baseline, or a value that is not finite.

        Example:
            >>> session = Session.of([[1.0, 2.0, 3.0], [4.0, 4.2]])
            >>> session.baseline, session.earlier_sigma, session.earlier_df
            ((4.0, 4.2), 1.0, 2)
        """
        if not len(baselines):
            raise LastbitError("a session has a baseline, even one without a run yet: write [[]]")
        rows = [finite_array(row, "the values of a baseline", 1) for row in baselines]
        unit = unit_of(np.concatenate(rows))
        df = sum(max(len(row) - 1, 0) for row in rows[:-1])
        squares = math.fsum(squares_of(row / unit) for row in rows[:-1])
        return cls(
            baseline=tuple(map(float, rows[-1])),
            earlier_sigma=math.sqrt(squares / df) * unit if df else 0.0,
            earlier_df=df,
            keeps=keeps,
            runs_left=left,
        )


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The runs of one candidate so far.

    Attributes:
        values: of the runs that ended with a finite value, in the order of their numbers.
        crashed: runs that raised, were killed, or reported no metric.
        diverged: runs that ended without a finite value.
        same_bits: whether its first run equals that of the baseline with the same seed, bit for bit.
    """

    values: tuple[float, ...] = ()
    crashed: int = 0
    diverged: int = 0
    same_bits: bool = False


def mean_of(values: Floats) -> float:
    """Return the mean, taken about the first value: equal values then give it back to the last bit."""
    return float(values[0]) + math.fsum(values - values[0]) / len(values)


def squares_of(values: Floats) -> float:
    """Return the sum of squares about the mean; 0 of no value."""
    return float(((values - mean_of(values)) ** 2).sum()) if len(values) else 0.0
