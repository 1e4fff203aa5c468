"""A short linear fingerprint of every weight tensor, from which the distance between any two runs follows later.

Each tensor leaves a balanced count sketch: element `i`, with sign `s_i = ±1`, is added to one of `width` buckets,

    S_j = sum over the elements i of bucket j of  s_i x_i ,

so that `sum_j (S_j(a) - S_j(b))^2` estimates `|a - b|^2`. Signs and buckets come from a seed and the tensor's name by a
documented integer hash, so sketches from other processes, machines and shorter or longer runs compare.

Error. The estimate of the squared distance is unbiased, with relative standard deviation at most `sqrt(2 / width)`
(0.177 at 64; Charikar, Chen and Farach-Colton, 2004), so the distance itself carries about `1 / sqrt(2 width)`
(0.088). A difference spread over many elements makes the estimate a chi-squared variable with `width` degrees of
freedom, which is what `distance_interval` uses; the fewer elements differ the smaller the error, and one differing
element has none. The hash is the same at every step, so errors at neighbouring steps are alike and largely cancel in
growth rates.

Balance. Elements are taken in blocks of `width`; within a block every bucket is used once, under a rotation that the
hash draws per block. Two elements of one block never meet, two of different blocks meet with probability `1 / width`,
and so the bound above holds for structured differences too (one column of a weight matrix, say).

Bits. A plain float64 sum would lose small differences, and its last bits would depend on the order of summation. Here
every element is split into two numbers on fixed grids, on which sums are exact (the pre-rounding of reproducible
summation: Demmel and Nguyen, 2013): a multiple of 2^-24, and the rest as a multiple of 2^-(77 - L), where
`L = ceil(log2 blocks)`. Sums are then the same in any order, on any machine, with any number of threads. The result is
the exact total as an unevaluated pair of float64, `values + residuals`:

* float32, bfloat16, float16: exact for every element of size 2^-(54 - L) or more (1e-12 for a tensor of a million
  elements), so a single ulp of a single such weight is returned exactly; smaller weights are rounded to the grid.
* float64: absolute resolution 2^-(78 - L) per element (5e-20 for a million elements): the last bit of weights above
  5e-4 there, and of weights above 3e-8 in a tensor of `width` elements or fewer.
* `values` alone (without `residuals`) resolve 1e-16 times the size of the bucket's own sum.
* exact while the absolute values in a bucket add up to less than 2^29; float64 accuracy beyond.

Two differences can meet in a bucket and cancel, so a distance of 0 does not prove equality. `fingerprints` do: a
64-bit integer per tensor that differs whenever exactly one element differs, and otherwise with overwhelming
probability. -0 counts as +0. A NaN or infinite weight makes its bucket NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import chdtri
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.core.ulp import FLOAT_DTYPES

__all__ = [
    "CountSketch",
    "Sketch",
    "distance_interval",
    "sketch_differs",
    "sketch_distance",
    "splitmix64",
    "streamed_sketch",
]

# Axes: T tensors, R blocks of all tensors one after another, W buckets. A leading ... is any (steps, twins).

HIGH_BITS = 24
LOW_BITS = 77

Words = np.ndarray[Any, np.dtype[np.uint64]]


_GOLDEN = 0x9E3779B97F4A7C15


def splitmix64(key: int, count: int) -> Words:
    """Return the first `count` outputs of SplitMix64 from state `key`, modulo 2^64.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; increment
    0x9E3779B97F4A7C15 and mixing constants 0xBF58476D1CE4E5B9, 0x94D049BB133111EB (Stafford's variant 13).

    Example:
        >>> hex(splitmix64(0, 1)[0])
        '0xe220a8397b1dcdaf'
    """
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(key % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


@dataclass(frozen=True)
class Sketch:
    """The sketch of one state of the weights, or of several states along leading axes.

    Attributes:
        values: float64 (..., T, W), the bucket sums.
        residuals: float64 (..., T, W), what rounding to `values` left behind.
        fingerprints: int64 (..., T).
        key: what two sketches must share to be compared: seed, width and each tensor's name and size.
    """

    values: Tensor
    residuals: Tensor
    fingerprints: Tensor
    key: tuple[int, int, tuple[tuple[str, int], ...]]

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return the three arrays by name, for an `.npz` file; `key` is plain JSON-able data."""
        return {name: getattr(self, name).cpu().numpy() for name in ("values", "residuals", "fingerprints")}


class CountSketch:
    """The plan of a sketch: made once for a set of tensors, then called on their values at any step.

    A tensor's part depends on the seed, its name and its number of elements only, not on its neighbours. The plan holds
    12 bytes per element.

    Args:
        parameters: the tensors by name; only names, sizes and the device matter.
        seed: of the hash. Signs and multipliers of a tensor are `splitmix64(stream_seed(seed, "sketch", name))`
            (the top bit gives the sign: 1 is minus), rotations
            `splitmix64(stream_seed(seed, "sketch rotation", name))`.
        width: buckets per tensor.

    Raises:
        LastbitError: no tensors, or `width` is not positive.

    Example:
        >>> weights = {"w": torch.ones(3, 5)}
        >>> sketch = CountSketch(weights, seed=0)
        >>> nudged = {"w": torch.nextafter(weights["w"], 2 * weights["w"]).where(torch.eye(3, 5) > 0, weights["w"])}
        >>> distance = sketch_distance(sketch(weights), sketch(nudged))
        >>> bool(distance[0] == (3 * 2.0**-46) ** 0.5)  # three elements, one ulp (2^-23) each
        True
    """

    def __init__(self, parameters: Mapping[str, Tensor], *, seed: int = 0, width: int = 64) -> None:
        if not parameters:
            raise LastbitError("nothing to sketch: pass at least one named tensor")
        if width < 1:
            raise LastbitError(f"width = {width}: write a positive number of buckets, such as 64")
        self.key = (int(seed), int(width), tuple((name, p.numel()) for name, p in parameters.items()))
        total = sum(p.numel() for p in parameters.values())
        position, multiplier, rows = [], [], []
        start = 0
        for name, size in self.key[2]:
            blocks = -(-size // width)
            # Element `column` of a block goes to bucket (column + rotation) mod width, so bucket j takes column
            # (j - rotation) mod width. Buckets beyond the tensor's end read the zero kept behind the last element.
            high = splitmix64(stream_seed(seed, "sketch rotation", name), blocks) >> np.uint64(32)
            rotation = ((high * np.uint64(width)) >> np.uint64(32)).astype(np.int64)
            column = (np.arange(width)[None, :] - rotation[:, None]) % width
            element = np.arange(blocks)[:, None] * width + column
            word = splitmix64(stream_seed(seed, "sketch", name), blocks * width) | np.uint64(1)
            multiplier.append(word.view(np.int64)[element])
            position.append(np.where(element < size, start + element, total))
            rows.append(blocks)
            start += size
        device = next(iter(parameters.values())).device
        kind = np.int32 if total < 2**31 - 1 else np.int64
        low = np.repeat([LOW_BITS - (max(blocks, 1) - 1).bit_length() for blocks in rows], rows)
        self._position_RW = torch.from_numpy(np.concatenate(position).astype(kind)).to(device)
        self._multiplier_RW = torch.from_numpy(np.concatenate(multiplier)).to(device)
        self._low_R1 = torch.from_numpy(np.exp2(low)).to(device)[:, None]
        self._coarse_R1 = 1 / self._low_R1
        self._tensor_R = torch.from_numpy(np.repeat(np.arange(len(rows)), rows)).to(device)

    @torch.no_grad()
    def __call__(self, parameters: Mapping[str, Tensor]) -> Sketch:
        """Sketch the present values of the tensors.

        Raises:
            LastbitError: names or sizes are not those of the plan, or a tensor is not floating-point.
        """
        found = tuple((name, p.numel()) for name, p in parameters.items())
        if found != self.key[2]:
            odd = [str(pair) for pair in found if pair not in self.key[2]]
            odd += [str(pair) for pair in self.key[2] if pair not in found]
            raise LastbitError(f"not the tensors this sketch was planned for: check {(odd or ['their order'])[0]}")
        for name, p in parameters.items():
            if p.dtype not in FLOAT_DTYPES:
                raise LastbitError(f"{name} is {p.dtype}: sketch floating-point tensors only")
        width, count = self.key[1], len(found)
        parts = [p.detach().reshape(-1) for p in parameters.values()]
        flat = torch.cat([*parts, parts[0].new_zeros(1)])
        # Adding +0 turns -0 into +0, so equal weights have equal bits.
        x_RW = flat.index_select(0, self._position_RW.view(-1)).double().add_(0.0).view(-1, width)
        bits_RW = x_RW.view(torch.int64)
        # float32 values leave the low half of their float64 bits empty: fold the high bits down before mixing.
        words_R = ((bits_RW ^ (bits_RW >> 29)) * self._multiplier_RW).sum(1)
        x_RW = torch.where(self._multiplier_RW < 0, -x_RW, x_RW)
        high_RW = torch.round(x_RW * 2.0**HIGH_BITS).mul_(2.0**-HIGH_BITS)
        low_RW = x_RW.sub_(high_RW).mul_(self._low_R1).round_().mul_(self._coarse_R1)
        zeros = torch.zeros(2, count, width, dtype=torch.float64, device=flat.device)
        # Sums of grid numbers are exact, so the unordered atomics of a GPU give the same bits.
        high_TW = zeros[0].index_add_(0, self._tensor_R, high_RW)
        low_TW = zeros[1].index_add_(0, self._tensor_R, low_RW)
        values_TW = high_TW + low_TW
        # TwoSum (Knuth): the exact error of the addition above.
        back_TW = values_TW - high_TW
        residuals_TW = (high_TW - (values_TW - back_TW)) + (low_TW - back_TW)
        words_T = torch.zeros(count, dtype=torch.int64, device=flat.device).index_add_(0, self._tensor_R, words_R)
        return Sketch(values_TW, residuals_TW, words_T, self.key)


@torch.no_grad()
def streamed_sketch(
    parameters: Mapping[str, Tensor], *, seed: int = 0, width: int = 64, elements: int = 1 << 20
) -> Sketch:
    """Return the same bits as `CountSketch` without a plan: slower, in memory that does not grow with the tensors.

    Args:
        parameters: the tensors by name, on any devices and in any formats.
        seed: as for `CountSketch`.
        width: likewise.
        elements: taken at a time; some 60 bytes each are needed.

    Raises:
        LastbitError: a tensor is not floating-point.
    """
    parts = [_streamed(name, tensor, seed, width, max(1, elements // width)) for name, tensor in parameters.items()]
    values, residuals, prints = (torch.stack(arrays).cpu() for arrays in zip(*parts, strict=True))
    return Sketch(values, residuals, prints, (seed, width, tuple((name, p.numel()) for name, p in parameters.items())))


def _streamed(name: str, tensor: Tensor, seed: int, width: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    if tensor.dtype not in FLOAT_DTYPES:
        raise LastbitError(f"{name} is {tensor.dtype}: sketch floating-point tensors only")
    size = tensor.numel()
    blocks = -(-size // width)
    low = 2.0 ** (LOW_BITS - (max(blocks, 1) - 1).bit_length())
    # A view where the tensor lies in order, which parameters do.
    flat = tensor.detach().reshape(-1)
    high_W, low_W = torch.zeros(2, width, dtype=torch.float64, device="cpu")
    word = 0
    for start in range(0, blocks, rows):
        count = min(rows, blocks - start)
        # Output number n of SplitMix64 from state s is output number n - m from the state m steps on.
        state = stream_seed(seed, "sketch rotation", name) + start * _GOLDEN
        high = splitmix64(state, count) >> np.uint64(32)
        rotation = ((high * np.uint64(width)) >> np.uint64(32)).astype(np.int64)
        column_RW = (np.arange(width)[None, :] - rotation[:, None]) % width
        element_RW = np.arange(count)[:, None] * width + column_RW
        state = stream_seed(seed, "sketch", name) + start * width * _GOLDEN
        words = splitmix64(state, count * width) | np.uint64(1)
        multiplier_RW = torch.from_numpy(words.view(np.int64)[element_RW])
        piece = flat[start * width : (start + count) * width].cpu().double().add_(0.0)
        piece = torch.nn.functional.pad(piece, (0, count * width - len(piece)))
        x_RW = piece[torch.from_numpy(element_RW)]
        bits_RW = x_RW.view(torch.int64)
        word += int(((bits_RW ^ (bits_RW >> 29)) * multiplier_RW).sum())
        x_RW = torch.where(multiplier_RW < 0, -x_RW, x_RW)
        rounded_RW = torch.round(x_RW * 2.0**HIGH_BITS).mul_(2.0**-HIGH_BITS)
        high_W += rounded_RW.sum(0)
        low_W += x_RW.sub_(rounded_RW).mul_(low).round_().mul_(1 / low).sum(0)
    values_W = high_W + low_W
    back_W = values_W - high_W
    residuals_W = (high_W - (values_W - back_W)) + (low_W - back_W)
    return values_W, residuals_W, torch.tensor((word + 2**63) % 2**64 - 2**63, device="cpu")


def _check_same(a: Sketch, b: Sketch) -> None:
    for what, left, right in zip(("seed", "width", "tensors"), a.key, b.key, strict=True):
        if left != right:
            raise LastbitError(
                f"these sketches cannot be compared, their {what} differ: sketch both with the same {what}"
            )


def sketch_distance(a: Sketch, b: Sketch) -> Tensor:
    """Return the estimated L2 distance per tensor, float64 (..., T); leading axes broadcast.

    The distance over all tensors is the root of the sum of squares.

    Raises:
        LastbitError: seed, width or tensors differ.
    """
    _check_same(a, b)
    distance: Tensor = torch.linalg.vector_norm((a.values - b.values) + (a.residuals - b.residuals), dim=-1)
    return distance


def sketch_differs(a: Sketch, b: Sketch) -> Tensor:
    """Return per tensor whether the two states differ in any bit of any element, bool (..., T).

    Raises:
        LastbitError: seed, width or tensors differ.
    """
    _check_same(a, b)
    return a.fingerprints != b.fingerprints


def distance_interval(width: int = 64, level: float = 0.95) -> tuple[float, float]:
    """Return the factors that take an estimated distance to the ends of its interval.

    `width D̂²/D²` is chi-squared with `width` degrees of freedom, so the true distance lies between
    `D̂ sqrt(width / q((1 + level)/2))` and `D̂ sqrt(width / q((1 - level)/2))`, `q` its quantiles.

    Raises:
        LastbitError: `level` is not between 0 and 1.

    Example:
        >>> [round(factor, 3) for factor in distance_interval()]
        [0.853, 1.209]
    """
    if not 0 < level < 1:
        raise LastbitError(f"level = {level}: write a probability between 0 and 1, such as 0.95")
    # chdtri inverts the survival function.
    upper, lower = chdtri(width, (1 - level) / 2), chdtri(width, (1 + level) / 2)
    return float(np.sqrt(width / upper)), float(np.sqrt(width / lower))
