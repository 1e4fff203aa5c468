"""In how few steps a difference grew, and in how few it would have grown by chance.

A curve grows by `g_i >= 0` nats over `m_i` steps between two neighbouring records. The *half share* is the smallest
share of the steps that holds half of all growth, taking the records by their growth per step, the fastest first. Growth
that is the same in every step gives one half; a single jump gives nearly 0.

Chance. Let every division of the growth among the single steps be equally likely. That is a Dirichlet distribution with
all parameters 1, and a record over `m` steps gets a gamma variable of shape `m` before all are divided by their sum.
Over many single steps the half share is then the `q` that solves `q (1 - ln q) = 1/2`, 19% of the steps: an
exponential variable lies above `-ln q` with chance `q`, and holds the part `q (1 - ln q)` of its mean there. Records
over more steps than one are closer to one half.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError

__all__ = ["chance_half_shares", "half_share"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


def half_share(spans: ArrayLike, gains: ArrayLike) -> float | None:
    """Return the smallest share of the steps that holds half of all growth, None where nothing grew.

    Args:
        spans: (n,) steps between neighbouring records, positive.
        gains: (n,) growth over them, 0 or more.

    Raises:
        LastbitError: the two do not match, or one is negative.

    Example:
        >>> half_share([1, 1, 1, 1], [1.0, 1.0, 1.0, 1.0]), half_share([1, 1, 2], [0.0, 8.0, 0.0])
        (0.5, 0.125)
    """
    m, g = np.asarray(spans, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    if m.ndim != 1 or m.shape != g.shape:
        raise LastbitError(f"one gain for each span is needed, got shapes {m.shape} and {g.shape}")
    if (m <= 0).any() or (g < 0).any():
        raise LastbitError("a span or a gain is negative: pass what the running maximum grew")
    order = np.argsort(-g / m)
    grown, spent = np.cumsum(g[order]), np.cumsum(m[order])
    if not len(m) or not grown[-1] > 0:
        return None
    return float(np.interp(grown[-1] / 2, np.append(0, grown), np.append(0, spent))) / float(spent[-1])


def chance_half_shares(spans: ArrayLike, *, draws: int = 2000, seed: int = 0) -> Floats:
    """Return half shares of growth that is divided at random among the steps, in ascending order (draws,).

    Args:
        spans: (n,) steps between neighbouring records, positive.
        draws: how many divisions are drawn.
        seed: of the generator.

    Example:
        >>> shares = chance_half_shares(np.ones(1000), draws=100)
        >>> round(float(np.median(shares)), 2)  # of exponential growth p of the steps, p (1 - log p) = 1/2
        0.19
    """
    m = np.asarray(spans, dtype=np.float64)
    generator = np.random.default_rng(seed)
    found = [half_share(m, generator.gamma(m)) for _ in range(draws)]
    return np.sort(np.array(found, dtype=np.float64))
