"""Is a training blowing up, though every number in it is still finite? One rule from the losses alone.

Let `L_0, L_1, …` be the losses in the order of the steps. The *open excursion* is everything after the last loss that
was within `FACTOR` of the first,

    L_t - L_0 <= (FACTOR - 1) |L_0|        (for positive losses L_t <= FACTOR L_0).

The training is *diverging* where that excursion goes on to the end and is still growing there: over its second half,
and no further back than the last third of all steps, `ln max(L_t, |L_0|)` has a slope whose 99% interval lies above 0
(`trend.fit_trend`) and rises by more than 0.1 decades along it. One loss that is not finite is `diverged`.

So a catapult, whose loss rises by decades and then falls below where it began, is none, and neither is a loss that
jumps to a higher level and stays there, or a single odd mini-batch at the end. Above the limit a quadratic loss grows
by a constant factor per step, so that the logarithm is a straight line and its slope certain after a few steps.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.dynamics.trend import SURE, TOLERATED_RISE, fit_trend

__all__ = ["blow_up", "is_held"]

FACTOR = 10.0
"""How far above its first value a loss must end. Losses of mini-batches scatter within a factor of a few, and an
oscillation at the edge of stability spikes by about as much and comes back: a whole decade is neither."""


def blow_up(losses: ArrayLike, steps: ArrayLike | None = None) -> tuple[RunStatus, str]:
    """Return how a training ended by its losses, `ok`, `diverging` or `diverged`, and why in a few words.

    Args:
        losses: (S,), of the mini-batches or of a fixed batch; the first is that of the weights before training.
        steps: (S,), increasing, where losses were not taken at every step; by default they count from 1.

    Raises:
        LastbitError: the arrays do not match.

    Example:
        >>> blow_up(np.exp(0.1 * np.arange(200)))
        (<RunStatus.DIVERGING: 'diverging'>, 'the loss ended 8.6 decades above its first value and is still growing')
        >>> catapult = np.concatenate([np.geomspace(1, 1e6, 50), np.geomspace(1e6, 1e-3, 100)])
        >>> blow_up(catapult)
        (<RunStatus.OK: 'ok'>, '')
    """
    loss, at = _checked(losses, steps)
    broken = np.flatnonzero(~np.isfinite(loss))
    if len(broken):
        return RunStatus.DIVERGED, f"the training loss is not finite from step {int(at[broken[0]])} on"
    if not len(loss):
        return RunStatus.OK, ""
    first = abs(float(loss[0]))
    # Halves, for the difference of two finite losses may not be finite.
    within = np.flatnonzero(loss / 2 - loss[0] / 2 <= (FACTOR - 1) / 2 * first)
    since = int(within[-1]) + 1
    window = at >= max(at[-1] - (at[-1] - at[0]) / 3, (at[min(since, len(at) - 1)] + at[-1]) / 2)
    if since == len(loss) or not _growing(at[window], loss[window], first):
        return RunStatus.OK, ""
    rise = f"{math.log10(loss[-1]) - math.log10(first):.1f} decades above its first value" if first else "above 0"
    return RunStatus.DIVERGING, f"the loss ended {rise} and is still growing"


def is_held(losses: ArrayLike, steps: ArrayLike) -> bool:
    """Return whether a training past its limit is pushed back: over the last third its loss does not keep growing.

    At the edge of stability each excursion of the loss ends below the level that it began at. A loss whose slope over
    the last third is certain to be positive, by the measure of `blow_up`, shows that nothing has held it yet, however
    close to 1 the ratio of sharpness to limit is: the sharpness of a quadratic never changes.

    Args:
        losses: (S,).
        steps: (S,), increasing.

    Raises:
        LastbitError: the arrays do not match.
    """
    loss, at = _checked(losses, steps)
    loss, at = loss[np.isfinite(loss)], at[np.isfinite(loss)]
    late = at >= at[-1] - (at[-1] - at[0]) / 3 if len(at) else np.empty(0, dtype=bool)
    return not _growing(at[late], loss[late], 0.0)


def _growing(steps: np.ndarray, loss: np.ndarray, least: float) -> bool:
    if len(steps) < 2:
        return False
    logs = np.log(np.maximum(loss, max(least, np.finfo(np.float64).tiny)))
    return fit_trend(steps, logs, level=SURE).grows(float(np.ptp(steps)), TOLERATED_RISE * math.log(10))


def _checked(losses: ArrayLike, steps: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    loss = np.asarray(losses, dtype=np.float64)
    at = np.arange(1.0, loss.size + 1) if steps is None else np.asarray(steps, dtype=np.float64)
    if loss.ndim != 1 or loss.shape != at.shape:
        raise LastbitError(f"one loss per step is needed, got shapes {loss.shape} and {at.shape}")
    return loss, at
