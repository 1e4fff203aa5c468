"""Long series as short ones: figures get at most a stated number of points, each the RMS of a bin."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["rms_bins"]

Array = np.ndarray[Any, Any]


def rms_bins(values: Array, points: int) -> tuple[Array, int]:
    """Return the root mean square over equal bins, at most `points` of them, and the width of a bin.

    Where the series is short enough it comes back as its absolute values, bin width 1. NaNs are left out of a bin; a
    bin of NaNs is NaN. The last bin may hold fewer values.

    Args:
        values: (N,) a series.
        points: the most bins to make, at least 1.

    Example:
        >>> rms_bins(np.array([3.0, -4.0, 6.0]), 2)
        (array([3.53553391, 6.        ]), 2)
    """
    if not len(values):
        return np.empty(0), 1
    width = -(-len(values) // points)
    if width == 1:
        return np.abs(values), 1
    padded = np.full(-(-len(values) // width) * width, np.nan)
    padded[: len(values)] = values
    bins_BW = padded.reshape(-1, width)
    filled = ~np.isnan(bins_BW)
    count = filled.sum(axis=1)
    # Scaled by the largest value first: squares of small differences would underflow, of large ones overflow.
    scale = np.where(filled, np.abs(bins_BW), 0.0).max(axis=1)
    safe = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
    ratio = np.where(filled, bins_BW / safe[:, None], 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        root = safe * np.sqrt((ratio**2).sum(axis=1) / np.maximum(count, 1))
    root[~np.isfinite(scale)] = np.inf
    root[count == 0] = np.nan
    return root, width
