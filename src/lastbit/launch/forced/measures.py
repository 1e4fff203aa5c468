"""How far the tensors of a forced run are from those of its reference: all of one format at once, tensor by tensor."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lastbit.core.ulp import FLOAT_DTYPES
from lastbit.launch.forced.flat import Layout

__all__ = ["measured", "same"]


def same(found: Tensor, reference: Tensor) -> bool:
    """Tell whether two flat vectors agree in every bit."""
    return found.dtype == reference.dtype and np.array_equal(_bits(found), _bits(reference))


def measured(
    layout: Layout, found: Tensor, reference: Tensor, before: Tensor | None, change: NDArray[np.float64] | None
) -> dict[str, NDArray[np.float64]]:
    """Return the columns of `ForcedTable` that tell one flat vector from another.

    Only elements that differ are looked at, in float64.

    Args:
        layout: of all three vectors.
        found: of the forced run.
        reference: of its reference.
        before: of the reference before the step; None: the step is not what changes these.
        change: norms of what the step changed in the reference, tensor by tensor; as `before`.
    """
    count = len(layout.names)
    if found.dtype == reference.dtype:
        places = np.flatnonzero(_bits(found) != _bits(reference))
    else:
        places = np.flatnonzero(found.double().numpy() != reference.double().numpy())
    tensors = np.searchsorted(layout.ends, places, side="right")
    at = torch.from_numpy(places)
    r = reference[at].double().numpy()
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        d = found[at].double().numpy() - r
        columns = {
            "difference": np.sqrt(_sums(tensors, d * d, count)),
            "projection": _sums(tensors, d * r, count),
            "unequal": np.bincount(tensors, minlength=count).astype(np.float64),
        }
        if before is not None and change is not None:
            moved = r - before[at].double().numpy()
            unit = _ulp(r, reference.dtype) + torch.finfo(reference.dtype).eps * np.abs(moved)
            worst = np.zeros(count)
            np.maximum.at(worst, tensors, np.abs(d) / unit)
            columns["worst"] = worst
            columns["bias"] = np.where(change > 0, _sums(tensors, d * moved, count) / change**2, np.nan)
    return columns


def _sums(tensors: NDArray[np.int64], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.bincount(tensors, weights=values, minlength=count).astype(np.float64)
    return sums


def _bits(values: Tensor) -> NDArray[np.int64]:
    bits: NDArray[np.int64] = values.view(FLOAT_DTYPES.get(values.dtype, values.dtype)).numpy()
    return bits


def _ulp(x: NDArray[np.float64], dtype: torch.dtype) -> NDArray[np.float64]:
    """Return the spacing of a format's numbers at `x`."""
    about = torch.finfo(dtype)
    _, exponent = np.frexp(np.abs(x))
    # A number in [1/2, 1) 2^e lies among others eps 2^(e - 1) apart.
    spacing: NDArray[np.float64] = np.maximum(np.ldexp(about.eps, exponent - 1), about.smallest_normal * about.eps)
    return spacing
