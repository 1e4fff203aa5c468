"""The one-way layout: runs within seeds, and the two mean squares every spread is made of.

    y_sp = mu + seed_s + last_bit_sp,    seed_s ~ (0, sigma_seed^2),    last_bit_sp ~ (0, sigma_last_bit^2)

Axes: S seeds, P perturbations, R runs; B resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lastbit.stats._inputs import Floats, Ints

__all__ = ["OneWay", "block_sums", "one_way", "quadratic_mean_squares"]


@dataclass(frozen=True)
class OneWay:
    """What a layout says about its variances; every attribute a scalar, or (B,) over resamples.

    Attributes:
        seeds: number of seeds with at least one run, S.
        runs: number of runs, N.
        msw: mean square within seeds on N - S degrees of freedom, expectation sigma_last_bit^2; NaN without any.
        msb: mean square between seeds on S - 1 degrees of freedom, expectation sigma_last_bit^2 + n0 sigma_seed^2;
            NaN for one seed.
        n0: the coefficient (N - sum n_s^2 / N) / (S - 1); P in a balanced grid.
        msu: variance of the S unweighted seed means, expectation sigma_seed^2 + sigma_last_bit^2 / nh.
        nh: harmonic mean of the runs per seed; P in a balanced grid.

    Source: Searle, Casella and McCulloch (1992), Variance Components, section 3.6; the unweighted mean square from
    Thomas and Hultquist (1978), Annals of Statistics 6, 582-587.
    """

    seeds: int
    runs: Ints
    msw: Floats
    msb: Floats
    n0: Floats
    msu: Floats
    nh: Floats

    @property
    def seed_variance(self) -> Floats:
        """The ANOVA estimate (MSB - MSW)/n0 of sigma_seed^2, negative where chance made it so."""
        return (self.msb - self.msw) / self.n0

    @property
    def total_variance(self) -> Floats:
        """The ANOVA estimate of sigma_seed^2 + sigma_last_bit^2, never negative."""
        return (self.msb + (self.n0 - 1) * self.msw) / self.n0


def one_way(counts: Ints, means: Floats, squares: Floats) -> OneWay:
    """Return the mean squares of seeds with `counts` runs, their `means` and sums of `squares` about them.

    Args:
        counts: (..., S), each at least 1.
        means: (..., S).
        squares: (..., S), sum over a seed's runs of (y - mean)^2.
    """
    seeds = counts.shape[-1]
    runs = counts.sum(axis=-1)
    grand = (counts * means).sum(axis=-1) / runs
    between = (counts * (means - grand[..., None]) ** 2).sum(axis=-1)
    spread = (means - means.mean(axis=-1, keepdims=True)) ** 2
    within_df = np.asarray(runs - seeds, dtype=np.float64)
    between_df = float(seeds - 1)
    return OneWay(
        seeds=seeds,
        runs=runs,
        msw=_over(squares.sum(axis=-1), within_df),
        msb=_over(between, between_df),
        n0=_over(runs - (counts**2).sum(axis=-1) / runs, between_df),
        msu=_over(spread.sum(axis=-1), between_df),
        nh=np.asarray(seeds / (1 / counts).sum(axis=-1)),
    )


def _over(total: Floats, df: Floats | float) -> Floats:
    """Divide by degrees of freedom; NaN where there are none."""
    divisor = np.broadcast_to(np.asarray(df, dtype=np.float64), np.shape(total))
    result = np.full(np.shape(total), np.nan)
    np.divide(total, divisor, out=result, where=divisor > 0)
    return result


def block_sums(matrix: Floats, group: Ints) -> Floats:
    """Return the (S, S) sums of an (R, R) matrix over the blocks of each pair of groups."""
    groups = int(group.max()) + 1
    # A count over pairs of labels: for matrices this small a threaded matrix product only loses time.
    pair = (group[:, None] * groups + group[None, :]).ravel()
    sums = np.bincount(pair, weights=matrix.ravel(), minlength=groups**2)
    return np.asarray(sums.reshape(groups, groups), dtype=np.float64)


def quadratic_mean_squares(kernel: Floats, group: Ints) -> tuple[float, float, float]:
    """Return (MSW, MSB, n0) of a quantity known only by its products between runs.

    For values y the kernel is the outer product y y^T, and the result that of `one_way`. Both mean squares are linear
    in the kernel, so a kernel of covariances between halves of a test set gives their mean squares directly.

    Args:
        kernel: (R, R), symmetric.
        group: (R,), each run's seed, counted from 0 without gaps.
    """
    blocks = block_sums(kernel, group)
    counts = np.bincount(group)
    runs, seeds = len(group), len(counts)
    of_seeds = float((np.diag(blocks) / counts).sum())
    within = float(np.trace(kernel)) - of_seeds
    between = of_seeds - float(blocks.sum()) / runs
    msw = within / (runs - seeds) if runs > seeds else float("nan")
    if seeds == 1:
        return msw, float("nan"), float("nan")
    return msw, between / (seeds - 1), (runs - float((counts**2).sum()) / runs) / (seeds - 1)
