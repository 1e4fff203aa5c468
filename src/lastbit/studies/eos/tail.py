"""Where a training stands against its limit at the end: the mean of a correlated series over its last third."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from lastbit.report.formatting import number, plural
from lastbit.stats import Estimate, not_measured

__all__ = ["entered_at", "last_third", "tail_mean"]

FEWEST = 20
"""Measurements that a tail must hold."""

BATCHES = 10
"""Batches of a tail. Schmeiser (Operations Research 30, 1982) advises 10 to 30; the fewer, the longer and so the more
nearly independent they are."""

LEAST_WORTH = 1.5
"""Independent measurements that every tail is taken to be worth: its interval is then 18 of its standard deviations to
either side. Towards one the formula has none."""

RAISED = 1.35
"""Standard errors by which the correlation found is raised."""


def last_third(steps: np.ndarray) -> np.ndarray:
    """Return which of the steps (S,), at least one and increasing, lie in the last third of their span."""
    late: np.ndarray = steps >= steps[-1] - (steps[-1] - steps[0]) / 3
    return late


def tail_mean(steps: np.ndarray, values: np.ndarray) -> Estimate:
    """Return the mean over the last third of the steps, with an interval that allows for correlated neighbours.

    Neighbouring measurements of one training are correlated, so they are no samples. For `n` values of correlation `ρ`
    between neighbours (a first-order autoregression) of variance `γ`

        Var(mean) = γ w / n,    w = 1 + 2 sum_k (1 - k/n) ρ^k,    E sum (x - mean)² = n γ (1 - w/n),

    so that the tail is worth `n/w` independent measurements: that is `n` of the estimate. `ρ` is the correlation found,
    corrected for the bias that removing the mean causes, `E r = ρ - (1 + 3ρ)/n` (Kendall; Marriott and Pope, Biometrika
    41, 1954), and raised by `RAISED` of its own standard errors, `sqrt((1 - ρ²)/n) n/(n - 3)` with the correction: an
    interval suffers more from a correlation taken too low than from one taken too high. Negative correlation would
    narrow it and is not trusted. `n/w` is at least `LEAST_WORTH`, and Student's quantile has `n/w - 1.5` degrees of
    freedom, at least 1. Where batch means, which assume no such model, vary more, the interval is theirs (`BATCHES` of
    equal length; Law and Kelton, Simulation Modeling and Analysis, section 9.5.3).

    Where the corrected correlation is 1 or more, nothing tells the tail from a drift, which has no mean: it is too
    correlated to say. Refusing more would not be safer: short tails of strong correlation that look like weak ones
    would be left, whose intervals miss the mean. Simulated on first-order autoregressions, 20,000 for each number, the
    95% interval is given in, and where it is given covers the mean in,

        values   ρ = 0        0.5          0.9          0.97         0.99
        20       100%, 100%   100%, 99%    85%, 97%     78%, 95%     76%, 93%
        60       100%, 99%    100%, 98%    98%, 98%     86%, 96%     80%, 94%
        200      100%, 98%    100%, 98%    100%, 98%    98%, 98%     87%, 96%
        500      100%, 98%    100%, 98%    100%, 98%    100%, 98%    97%, 97%

    Ten batch means alone cover it in 64% for 0.99 with 500.

    Args:
        steps: (S,) increasing.
        values: (S,); values that are not finite are left out.

    Example:
        >>> found = tail_mean(np.arange(300), 1 + 0.1 * np.sin(np.arange(300.0)))
        >>> found.low < 1 < found.high, found.n
        (True, 20)
    """
    if not len(steps):
        return not_measured("nothing was measured")
    tail = values[last_third(steps) & np.isfinite(values)]
    if len(tail) < FEWEST:
        return not_measured(
            f"the last third holds {plural(len(tail), 'measurement')}, {FEWEST} are needed", n=len(tail)
        )
    kept = tail[len(tail) % BATCHES :]
    n, batch = len(kept), kept.reshape(BATCHES, -1).mean(axis=1)
    mean, residual = float(batch.mean()), kept - kept.mean()
    energy = float(residual @ residual) if np.ptp(kept) > 0 else 0.0
    if not energy > 0:
        return Estimate(mean, None, None, n, "the tail is constant: its interval is not measured")
    found = float(residual[1:] @ residual[:-1]) / energy
    corrected = (n * found + 1) / (n - 3)
    rho = float(np.clip(corrected, 0.0, 1.0))
    rho = min(rho + RAISED * float(np.sqrt(n * (1 - rho**2))) / (n - 3), 1.0)
    lags = np.arange(1, n)
    worth = n / (1 + 2 * float((1 - lags / n) @ rho**lags))
    note = f"{n} correlated measurements, the last third of the training, worth {number(worth, 2)} independent ones"
    if corrected >= 1:
        return Estimate(mean, None, None, 1, f"too correlated to say how certain: {note}")
    reckoned = max(worth, LEAST_WORTH)
    error = np.sqrt(energy / n / reckoned / (1 - 1 / reckoned))
    reach = float(stdtrit(max(reckoned - 1.5, 1.0), 0.975) * error)
    reach = max(reach, float(stdtrit(BATCHES - 1, 0.975) * batch.std(ddof=1) / np.sqrt(BATCHES)))
    return Estimate(mean, mean - reach, mean + reach, round(worth), note)


def entered_at(steps: np.ndarray, ratio: np.ndarray) -> int | None:
    """Return the first measured step at which the sharpness was at its limit or above; None where it never was."""
    above = np.flatnonzero(ratio >= 1)
    return int(steps[above[0]]) if len(above) else None
