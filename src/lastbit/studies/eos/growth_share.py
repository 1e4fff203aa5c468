"""How much of a last-bit difference's growth falls where the sharpness exceeds its limit.

Between two measured steps `s_i` and `s_{i+1}` the distance of a twin grows by `g_i = ln(d_{i+1}/d_i)`, set against the
ratio of sharpness to limit at `s_i`, the weights that the step starts from. Distances below the rounding of a single
step count as that: reaching it is no amplification. With `A` the intervals whose ratio is above 1,

    share = sum_{i in A} max(g_i, 0) / sum_i max(g_i, 0),

pooled over twins. Beside it stand the share of the intervals in `A`, which is what the share would be if growth did not
care for the limit, and the mean net growth per step inside and outside of `A`: above the limit a difference along the
sharpest direction grows, below it shrinks.

Intervals come from the delete-one-block jackknife over `BLOCKS` contiguous blocks of steps: one training is one
correlated series, and its blocks are the nearest thing to samples that it has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lastbit.stats import Estimate, jackknife_interval, not_measured

__all__ = ["GrowthSplit", "split_growth"]

BLOCKS = 20
"""Blocks of the jackknife: enough for Student's quantile to be near the normal one (2.09), few enough to be long."""


@dataclass(frozen=True)
class GrowthSplit:
    """Growth inside and outside of the region above the limit."""

    share_above_limit: Estimate
    """Share of all growth that falls where the limit is exceeded."""
    share_of_steps_above_limit: float | None
    """Share of the steps where it is."""
    rate_above_limit: Estimate
    """Mean net growth there, nats per step."""
    rate_below_limit: Estimate
    """Mean net growth elsewhere, nats per step."""
    decades: float | None
    """From the floor to the largest distance, in powers of ten (geometric mean over twins)."""
    decades_above_limit: float | None
    """How much of that rise was made, net, where the limit was exceeded."""


def split_growth(steps: np.ndarray, ratio: np.ndarray, distance: np.ndarray, floor: float) -> GrowthSplit:
    """Split the growth of twins by whether the limit was exceeded.

    Args:
        steps: (S,) measured steps, increasing.
        ratio: (S,) sharpness over limit at them.
        distance: (K, S) L2 distances of the twins; a twin is followed from where it first differs.
        floor: the rounding of a single step (`dynamics.single_rounding`), in the unit of the distances.

    Example:
        >>> steps = np.arange(200)
        >>> ratio = np.where(steps < 100, 0.9, 1.1)
        >>> split = split_growth(steps, ratio, np.exp(0.1 * np.maximum(steps - 100, 0.0))[None], 1e-9)
        >>> split.share_above_limit.estimate, round(split.rate_above_limit.estimate, 3)
        (1.0, 0.1)
    """
    usable = np.isfinite(ratio) & np.isfinite(distance).all(axis=0)
    s, r, d = steps[usable].astype(float), ratio[usable], distance[:, usable]
    few = len(s) < 2 * BLOCKS
    if not len(d) or few or not (d > 0).any():
        missing = f"{max(len(s) - 1, 0)} intervals are too few" if few else "the twins never differed"
        why = not_measured(missing if len(d) else "no twin", n=len(d))
        return GrowthSplit(why, None, why, why, None, None)
    logs = np.log(np.maximum(d, floor))
    growth_KI, span_I, above_I = np.diff(logs, axis=1), np.diff(s), r[:-1] > 1
    gains_I, net_I = np.maximum(growth_KI, 0).sum(axis=0), growth_KI.mean(axis=0)
    rising_KI = np.arange(len(span_I)) < logs.argmax(axis=1)[:, None]
    block_I = (np.arange(len(span_I)) * BLOCKS) // len(span_I)

    def over(
        top_I: np.ndarray, bottom_I: np.ndarray, missing: str, bounds: tuple[float, float] = (-np.inf, np.inf)
    ) -> Estimate:
        top_B, bottom_B = (np.bincount(block_I, weights=values_I, minlength=BLOCKS) for values_I in (top_I, bottom_I))
        return _ratio(top_B, bottom_B, missing, bounds)

    return GrowthSplit(
        share_above_limit=over(gains_I * above_I, gains_I, "the difference never grew", (0.0, 1.0)),
        share_of_steps_above_limit=float((span_I * above_I).sum() / span_I.sum()),
        rate_above_limit=over(net_I * above_I, span_I * above_I, "the limit was never exceeded"),
        rate_below_limit=over(net_I * ~above_I, span_I * ~above_I, "the limit was always exceeded"),
        decades=float(np.mean(logs.max(axis=1) - np.log(floor)) / np.log(10)),
        decades_above_limit=float(np.mean((growth_KI * above_I * rising_KI).sum(axis=1)) / np.log(10)),
    )


def _ratio(top_B: np.ndarray, bottom_B: np.ndarray, missing: str, bounds: tuple[float, float]) -> Estimate:
    """Return the ratio of sums with its jackknife interval; blocks without a denominator carry no information."""
    held = bottom_B > 0
    n, top, bottom = int(held.sum()), float(top_B.sum()), float(bottom_B.sum())
    if not bottom > 0:
        return not_measured(missing)
    estimate = top / bottom
    if n < 3:
        return Estimate(estimate, None, None, n, f"all of it falls into {n} of {BLOCKS} blocks: interval not measured")
    left_out = (top - top_B[held]) / (bottom - bottom_B[held])
    if not np.ptp(left_out) > 0:
        return Estimate(estimate, None, None, n, "every block says the same: interval not measured")
    low, high = np.clip(jackknife_interval(estimate, left_out), *bounds).tolist()
    return Estimate(estimate, low, high, n, f"jackknife over {n} blocks of steps")
