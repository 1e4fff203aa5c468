"""Units in the last place and bit arithmetic on tensors, for float64, float32, bfloat16 and float16.

Floating-point numbers of one format, read as sign-magnitude integers and mapped to a line, are ordered like the numbers
themselves; neighbours on that line are one ulp apart. Every function here works on it, element-wise, on any device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from lastbit.core.errors import LastbitError

__all__ = [
    "FLOAT_DTYPES",
    "from_ordered",
    "has_last_bit",
    "is_spread",
    "local",
    "same_bits",
    "step_ulps",
    "to_ordered",
    "ulp",
    "ulp_distance",
]

FLOAT_DTYPES = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}
"""The floating-point formats understood, each with the integer type of its width."""


def has_last_bit(x: Tensor) -> bool:
    """Tell whether the elements of `x` are of one of these formats: dense and real."""
    return x.layout is torch.strided and x.dtype in FLOAT_DTYPES


def is_spread(x: Tensor) -> bool:
    """Tell whether `x` is a DTensor, as of FSDP2: a tensor of which this process may hold a shard only."""
    # It is told by what it has, without importing what a program on one device never does.
    return type(x) not in (Tensor, Parameter) and hasattr(x, "placements") and hasattr(x, "to_local")


def local(x: Tensor) -> Tensor:
    """Return the elements of `x` that this process holds: a DTensor's own memory, any other tensor as it is."""
    if not is_spread(x):
        return x
    with torch.no_grad():  # a view that autograd follows could not be written to
        held: Tensor = x.to_local()  # type: ignore[attr-defined]
    return held


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Tell whether two tensors of one format and shape agree in every bit of every element."""
    kind = _integer_type(a.dtype)
    left, right = a.view(kind), b.view(kind)
    # NumPy compares some ten times as fast as torch does on a processor.
    return torch.equal(left, right) if a.device.type != "cpu" else np.array_equal(left.numpy(), right.numpy())


def _integer_type(dtype: torch.dtype) -> torch.dtype:
    try:
        return FLOAT_DTYPES[dtype]
    except KeyError:
        names = ", ".join(str(known) for known in FLOAT_DTYPES)
        raise LastbitError(f"there is no last bit in a {dtype} tensor: use one of {names}") from None


def to_ordered(x: Tensor) -> Tensor:
    """Map floats to integers of their width so that order is kept and neighbours differ by one.

    Both zeros map to 0; `-x` maps to the negative of `x`'s integer. NaNs map beyond the infinities.
    """
    kind = _integer_type(x.dtype)
    bits = x.contiguous().view(kind)
    return torch.where(bits < 0, torch.iinfo(kind).min - bits, bits)


def from_ordered(index: Tensor, dtype: torch.dtype) -> Tensor:
    """Inverse of `to_ordered` (0 becomes +0)."""
    kind = _integer_type(dtype)
    bits = torch.where(index < 0, torch.iinfo(kind).min - index, index)
    return bits.to(kind).view(dtype)


def step_ulps(x: Tensor, steps: Tensor | int) -> Tensor:
    """Move each element by `steps` neighbours on the line of its format.

    Finite elements never become infinite (they stay at the largest finite number), and non-finite elements are
    returned as they are.

    Args:
        x: floats of any shape.
        steps: integers that broadcast to `x`, for float64 below 2^52 in magnitude.

    Raises:
        LastbitError: `x` is of a format without a last bit.
    """
    # In int64, not in the format's own width, where a step near the largest number would wrap to the other sign.
    place = to_ordered(x).long()
    largest = to_ordered(torch.tensor(torch.finfo(x.dtype).max, dtype=x.dtype, device=x.device)).long()
    moved = (place + torch.as_tensor(steps, device=x.device).long()).clamp(-largest, largest)
    return torch.where(torch.isfinite(x), from_ordered(moved, x.dtype), x)


def ulp(x: Tensor) -> Tensor:
    """Return the spacing between |x| and the next float above it (NaN where `x` is not finite).

    For the largest finite number it is the spacing below. Source: the definition by Goldberg (1991) for normal
    numbers; the smallest subnormal for zero.

    Raises:
        LastbitError: `x` is of a format without a last bit.
    """
    _integer_type(x.dtype)
    size = x.abs()
    largest = torch.finfo(x.dtype).max
    gap = torch.where(size >= largest, size - step_ulps(size, -1), step_ulps(size, 1) - size)
    return torch.where(torch.isfinite(x), gap, torch.full_like(x, float("nan")))


def ulp_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return how many neighbours apart `a` and `b` are, as int64 (saturating at the largest int64).

    Both zeros are the same number: their distance is 0. Shapes broadcast; formats must agree.

    Raises:
        LastbitError: the formats differ.
    """
    if a.dtype != b.dtype:
        raise LastbitError(f"ulp distance needs one format, got {a.dtype} and {b.dtype}")
    left, right = to_ordered(a).long(), to_ordered(b).long()
    gap = (left - right).abs()
    # The distance of two float64 numbers of opposite sign and magnitude above 2 exceeds the int64 range and wraps.
    wrapped = ((left < 0) != (right < 0)) & (left.abs() > torch.iinfo(torch.int64).max - right.abs())
    return torch.where(wrapped, torch.full_like(gap, torch.iinfo(torch.int64).max), gap)
