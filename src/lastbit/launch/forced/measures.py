"""How far the tensors of a forced run are from those of its reference: all of one format at once, tensor by tensor.

Numbers are made float64 a block at a time, which stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lastbit.core.ulp import FLOAT_DTYPES
from lastbit.launch.forced.flat import Layout

__all__ = ["measured", "norms", "same"]

Floats = NDArray[np.float64]

_BLOCK = 1 << 15
"""Elements: a quarter of a megabyte in float64."""


def same(found: Tensor, reference: Tensor) -> bool:
    """Tell whether two flat vectors agree in every bit."""
    return found.dtype == reference.dtype and np.array_equal(_bits(found), _bits(reference))


def norms(layout: Layout, values: Tensor, before: Tensor | None = None) -> Tensor:
    """Return the Euclidean norm of each tensor, or of how far it is from what it was before, in float64."""
    squares = np.zeros(len(layout.names))
    with np.errstate(over="ignore", invalid="ignore"):
        for begin, end in _blocks(len(values)):
            block = _wide(values[begin:end])
            if before is not None:
                block = block - _wide(before[begin:end])
            _add(layout, begin, end, block * block, squares)
    return torch.from_numpy(np.sqrt(squares))


def measured(
    layout: Layout, found: Tensor, reference: Tensor, before: Tensor | None, change: Floats | None
) -> dict[str, Floats]:
    """Return the columns of `ForcedTable` that tell one flat vector from another.

    Args:
        layout: of all three vectors.
        found: of the forced run.
        reference: of its reference.
        before: of the reference before the step; None: the step is not what changes these.
        change: norms of what the step changed in the reference, tensor by tensor; as `before`.
    """
    count = len(layout.names)
    squares, projection, unequal, worst, moved_by = (np.zeros(count) for _ in range(5))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for begin, end in _blocks(len(reference)):
            mine, there = found[begin:end], reference[begin:end]
            if mine.dtype == there.dtype:
                other = _bits(mine) != _bits(there)
                if not other.any():
                    continue
                r, f = _wide(there), _wide(mine)
            else:
                r, f = _wide(there), _wide(mine)
                other = r != f
            d = np.where(other, f - r, 0.0)  # a NaN in both is none
            _add(layout, begin, end, d * d, squares)
            _add(layout, begin, end, np.where(other, d * r, 0.0), projection)
            _add(layout, begin, end, other.astype(np.float64), unequal)
            if before is not None and change is not None:
                moved = np.where(other, r - _wide(before[begin:end]), 0.0)
                unit = _ulp(r, reference.dtype) + torch.finfo(reference.dtype).eps * np.abs(moved)
                _add(layout, begin, end, np.where(other, np.abs(d) / unit, 0.0), worst, np.maximum)
                _add(layout, begin, end, d * moved, moved_by)
        columns = {"difference": np.sqrt(squares), "projection": projection, "unequal": unequal}
        if before is not None and change is not None:
            columns |= {"worst": worst, "bias": np.where(change > 0, moved_by / change**2, np.nan)}
    return columns


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    return ((begin, min(begin + _BLOCK, count)) for begin in range(0, count, _BLOCK))


def _add(
    layout: Layout, begin: int, end: int, values: Floats, into: Floats, fold: Callable[..., Floats] = np.add
) -> None:
    """Fold the values of a block into the number of the tensor that each belongs to."""
    first, last = np.searchsorted(layout.ends, [begin, end - 1], side="right")
    places = np.arange(first, last + 1)
    starts = np.maximum(layout.begins[first : last + 1] - begin, 0)
    full = layout.ends[first : last + 1] > layout.begins[first : last + 1]
    into[places[full]] = fold(into[places[full]], fold.reduceat(values, starts[full]))  # type: ignore[attr-defined]


def _wide(values: Tensor) -> Floats:
    wide: Floats = values.double().numpy()
    return wide


def _bits(values: Tensor) -> NDArray[np.int64]:
    bits: NDArray[np.int64] = values.view(FLOAT_DTYPES.get(values.dtype, values.dtype)).numpy()
    return bits


def _ulp(x: Floats, dtype: torch.dtype) -> Floats:
    """Return the spacing of a format's numbers at `x`."""
    about = torch.finfo(dtype)
    _, exponent = np.frexp(np.abs(x))
    # A number in [1/2, 1) 2^e lies among others eps 2^(e - 1) apart.
    spacing: Floats = np.maximum(np.ldexp(about.eps, exponent - 1), about.smallest_normal * about.eps)
    return spacing
