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

Hash. Elements are taken in rows of `width`; within a row every bucket is used once, under a rotation that is drawn for
each row. Two elements of one row never meet, two of different rows meet with probability `1 / width`, and so the bound
above holds for structured differences too (one column of a weight matrix, say). Row `r` has an odd 64-bit number `A_r`
and bucket `j` an odd `B_j`; the sign is minus where bit 31 of `A_r B_j` is set. For odd uniform `A_r` that bit is
uniform whatever `B_j` is, so that the signs in one bucket, all of different rows, are independent.

Bits. A plain float64 sum would lose small differences, and its last bits would depend on the order of summation. Here
every element is split into two numbers on fixed grids, on which sums are exact (the pre-rounding of reproducible
summation: Demmel and Nguyen, 2013): a multiple of 2^-24, and the rest as a multiple of 2^-(77 - L), where
`L = max(1, ceil(log2 rows))`. Sums are then the same in any order, on any machine, with any number of threads. The
result is the exact total as an unevaluated pair of float64, `values + residuals`:

* float32, bfloat16, float16: exact for every element of size 2^-(54 - L) or more (1e-12 for a tensor of a million
  elements), so a single ulp of a single such weight is returned exactly; smaller weights are rounded to the grid.
* float64: absolute resolution 2^-(78 - L) per element (5e-20 for a million elements): the last bit of weights above
  5e-4 there, and of weights above 6e-8 in a tensor of `2 width` elements or fewer.
* `values` alone (without `residuals`) resolve 1e-16 times the size of the bucket's own sum.
* exact while single values stay below 2^27 and the absolute values in a bucket add up to less than 2^29; float64
  accuracy beyond.

Two differences can meet in a bucket and cancel, so a distance of 0 does not prove equality. `fingerprints` do: the sum
over rows, modulo 2^64, of `A_r` times the row's sum of `A_r B_j h`, each wrapped to a signed integer of the format's
width. Here `h` is the element's own bits (of float64, `h ^ (h >> 29)`, since numbers that float32 holds too leave the
low bits empty). Odd factors lose nothing, so it differs whenever exactly one element differs, and otherwise with
overwhelming probability. It compares tensors of one format, with bfloat16 and float16 read as float32. -0 counts as +0.
A NaN or infinite weight makes its bucket NaN.

Cost. Rows are taken in blocks that stay in the processor's cache, so a weight is read from memory once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core.blocks import block_elements
from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.core.ulp import FLOAT_DTYPES

__all__ = [
    "CountSketch",
    "Sketch",
    "sketch_differs",
    "sketch_distance",
    "splitmix64",
]

# Axes: T tensors, R rows of a block, W buckets. A leading ... is any (steps, twins).

HIGH_BITS = 24
LOW_BITS = 77

Words = np.ndarray[Any, np.dtype[np.uint64]]

_GOLDEN = 0x9E3779B97F4A7C15


def _rounds_to(bits: int) -> float:
    """Return what rounds a number to a multiple of `2^-bits` when it is added and taken away again.

    The number may be a sixth of it.
    """
    return 1.5 * 2.0 ** (52 - bits)


_COARSE = _rounds_to(HIGH_BITS)


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


@dataclass(frozen=True)
class _Piece:
    """Rows of one tensor: which, and its elements from `start` to `stop` in so many rows."""

    tensor: int
    start: int
    stop: int
    rows: int


@dataclass(frozen=True)
class _Block:
    """Rows that are sketched at once, of tensors in one working format on one device."""

    pieces: list[_Piece]
    kind: torch.dtype
    multiplier_R: Tensor
    """`A_r`, int64."""
    sign_R1: Tensor
    """`A_r` in the width of the working format."""
    window_R: Tensor
    """Where a row begins when each is written twice, one copy behind the other, and turned by its rotation."""
    tensor_R: Tensor
    grid_R1: Tensor
    """What rounds a number to the fine grid when it is added and subtracted again."""
    grid: float
    """That of the first row."""
    zeros_W: Tensor


class CountSketch:
    """The plan of a sketch: made once for a set of tensors, then called on their values at any step.

    A tensor's part depends on the seed, its name and its number of elements only, not on its neighbours. The plan holds
    less than half a byte per element.

    Args:
        parameters: the tensors by name; of their values nothing matters, of their formats and devices all.
        seed: of the hash. `A_r` is output `r` of `splitmix64(stream_seed(seed, "sketch", name))` and `B_j` output `j`
            of `splitmix64(stream_seed(seed, "sketch bucket"))`, each with its last bit set. Element `c` of row `r` goes
            to bucket `c + t` modulo the width, its rotation `t` being the high half of output `r` of
            `splitmix64(stream_seed(seed, "sketch rotation", name))`, times the width, over 2^32.
        width: buckets per tensor.
        elements: taken at a time; by default as many as stay in the cache.

    Raises:
        LastbitError: no tensors, `width` is not positive, or a tensor is not floating-point.

    Example:
        >>> weights = {"w": torch.ones(3, 5)}
        >>> sketch = CountSketch(weights, seed=0)
        >>> nudged = {"w": torch.nextafter(weights["w"], 2 * weights["w"]).where(torch.eye(3, 5) > 0, weights["w"])}
        >>> distance = sketch_distance(sketch(weights), sketch(nudged))
        >>> bool(distance[0] == (3 * 2.0**-46) ** 0.5)  # three elements, one ulp (2^-23) each
        True
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], *, seed: int = 0, width: int = 64, elements: int | None = None
    ) -> None:
        if not parameters:
            raise LastbitError("nothing to sketch: pass at least one named tensor")
        if width < 1:
            raise LastbitError(f"width = {width}: write a positive number of buckets, such as 64")
        self.key = (int(seed), int(width), tuple((name, p.numel()) for name, p in parameters.items()))
        for name, p in parameters.items():
            if p.dtype not in FLOAT_DTYPES:
                raise LastbitError(f"{name} is {p.dtype}: sketch floating-point tensors only")
        self._like = [_format(p) for p in parameters.values()]
        buckets = _odd(stream_seed(seed, "sketch bucket"), width)
        self._buckets_W = {
            (kind, device): torch.from_numpy(buckets).to(device, FLOAT_DTYPES[kind])
            for kind, device in {(_working(dtype), device) for dtype, device in self._like}
        }
        self._blocks = [self._block(pieces) for pieces in _laid_out(list(parameters.values()), width, elements)]

    def _block(self, pieces: list[_Piece]) -> _Block:
        seed, width, tensors = self.key
        multipliers, windows, grids = [], [], []
        for piece in pieces:
            name, size = tensors[piece.tensor]
            # Output number n of SplitMix64 from state s is output number n - m from the state m steps on.
            ahead = piece.start // width * _GOLDEN
            multipliers.append(_odd(stream_seed(seed, "sketch", name) + ahead, piece.rows))
            high = splitmix64(stream_seed(seed, "sketch rotation", name) + ahead, piece.rows) >> np.uint64(32)
            # Bucket j takes column (j - rotation) mod width.
            windows.append(-((high * np.uint64(width)) >> np.uint64(32)).astype(np.int64) % width)
            grids.append(_rounds_to(LOW_BITS - max(1, (-(-size // width) - 1).bit_length())))
        rows = [piece.rows for piece in pieces]
        starts = np.concatenate(windows) + 2 * width * np.arange(sum(rows))
        dtype, device = self._like[pieces[0].tensor]
        kind = _working(dtype)
        multiplier_R = torch.from_numpy(np.concatenate(multipliers)).to(device)
        return _Block(
            pieces,
            kind,
            multiplier_R,
            multiplier_R.to(FLOAT_DTYPES[kind])[:, None],
            torch.from_numpy(starts.astype(np.int32)).to(device),
            torch.from_numpy(np.repeat([piece.tensor for piece in pieces], rows)).to(device),
            torch.from_numpy(np.repeat(grids, rows)).to(device)[:, None],
            grids[0],
            torch.zeros(width, dtype=kind, device=device),
        )

    def fits(self, parameters: Mapping[str, Tensor]) -> bool:
        """Tell whether the plan is one for these tensors: for their names, sizes, formats and devices."""
        found = tuple((name, p.numel()) for name, p in parameters.items())
        return found == self.key[2] and [_format(p) for p in parameters.values()] == self._like

    @torch.no_grad()
    def __call__(self, parameters: Mapping[str, Tensor]) -> Sketch:
        """Sketch the present values of the tensors.

        Raises:
            LastbitError: names, sizes, formats or devices are not those of the plan.
        """
        found = tuple((name, p.numel()) for name, p in parameters.items())
        if found != self.key[2]:
            odd = [str(pair) for pair in found if pair not in self.key[2]]
            odd += [str(pair) for pair in self.key[2] if pair not in found]
            raise LastbitError(f"not the tensors this sketch was planned for: check {(odd or ['their order'])[0]}")
        for (name, p), like in zip(parameters.items(), self._like, strict=True):
            if _format(p) != like:
                raise LastbitError(f"{name} is {p.dtype} on {p.device}, planned for {like[0]} on {like[1]}: plan anew")
        width = self.key[1]
        # Views where the tensors lie in order, which parameters do.
        flats = [p.detach().reshape(-1) for p in parameters.values()]
        sums = {device: _Sums(len(found), width, device) for _, device in self._like}
        for block in self._blocks:
            device = block.window_R.device
            x_RW = _turned(block, flats, width)
            words_R = _hashed(block, x_RW, self._buckets_W[block.kind, device])
            sums[device].add(block, words_R, x_RW.double())
        first, *others = sums.values()
        for other in others:
            first.merge(other)
        high_TW, low_TW, words_T = first.high_TW, first.low_TW, first.words_T
        values_TW = high_TW + low_TW
        # TwoSum (Knuth): the exact error of the addition above.
        back_TW = values_TW - high_TW
        residuals_TW = (high_TW - (values_TW - back_TW)) + (low_TW - back_TW)
        return Sketch(values_TW, residuals_TW, words_T, self.key)


def _odd(state: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return (splitmix64(state, count) | np.uint64(1)).view(np.int64)


def _format(tensor: Tensor) -> tuple[torch.dtype, torch.device]:
    return tensor.dtype, tensor.device


def _working(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype is torch.float64 else torch.float32


def _laid_out(tensors: Sequence[Tensor], width: int, elements: int | None) -> Iterator[list[_Piece]]:
    """Yield the pieces of each block: many small tensors or a part of a large one."""
    block: list[_Piece] = []
    homes: set[tuple[torch.dtype, torch.device]] = set()
    for place, tensor in enumerate(tensors):
        most = max(1, (elements or block_elements(tensor.device)) // width)
        home = (_working(tensor.dtype), tensor.device)
        for start in range(0, tensor.numel(), most * width):
            stop = min(tensor.numel(), start + most * width)
            piece = _Piece(place, start, stop, -(-(stop - start) // width))
            if block and (home not in homes or piece.rows + sum(each.rows for each in block) > most):
                yield block
                block = []
            block.append(piece)
            homes = {home}
    if block:
        yield block


def _turned(block: _Block, flats: Sequence[Tensor], width: int) -> Tensor:
    """Return the rows of a block in its working format, each turned by its rotation, (R, W)."""
    parts = []
    for piece in block.pieces:
        size = piece.stop - piece.start
        parts.append(flats[piece.tensor].narrow(0, piece.start, size))
        if missing := piece.rows * width - size:
            parts.append(block.zeros_W.narrow(0, 0, missing))
    x_RW = (parts[0] if len(parts) == 1 else torch.cat(parts)).to(block.kind).view(-1, width)
    twice = torch.cat([x_RW, x_RW], 1)
    windows = twice.as_strided((twice.numel() - width + 1, width), (1, 1))
    # Adding +0 turns -0 into +0, so that equal weights have equal bits.
    return windows.index_select(0, block.window_R).add_(0.0)


def _hashed(block: _Block, x_RW: Tensor, bucket_W: Tensor) -> Tensor:
    """Give the elements of a block their signs, in place, and return what its rows bring to the fingerprints."""
    bits_RW = x_RW.view(FLOAT_DTYPES[block.kind])
    words_RW = block.sign_R1 * bucket_W
    if block.kind is torch.float32:
        words_R = (words_RW * bits_RW).sum(1)
        flipped_RW = words_RW.bitwise_and_(-(2**31))
    else:
        words_R = (bits_RW ^ (bits_RW >> 29)).mul_(words_RW).sum(1)
        flipped_RW = words_RW.bitwise_and_(2**31).bitwise_left_shift_(32)
    bits_RW.bitwise_xor_(flipped_RW)
    return words_R.mul_(block.multiplier_R)


class _Sums:
    """The sums over the blocks of one device: on both grids, and of the fingerprints."""

    def __init__(self, count: int, width: int, device: torch.device) -> None:
        self.high_TW = torch.zeros(count, width, dtype=torch.float64, device=device)
        self.low_TW = torch.zeros_like(self.high_TW)
        self.words_T = torch.zeros(count, dtype=torch.int64, device=device)

    def add(self, block: _Block, words_R: Tensor, low_RW: Tensor) -> None:
        """Add what the rows of a block bring; `low_RW`, their signed elements, is used up."""
        high_RW = (low_RW + _COARSE).sub_(_COARSE)
        low_RW.sub_(high_RW)
        if len(block.pieces) == 1:
            place = block.pieces[0].tensor
            self.high_TW[place].add_(high_RW.sum(0))
            self.low_TW[place].add_(low_RW.add_(block.grid).sub_(block.grid).sum(0))
            self.words_T[place].add_(words_R.sum())
            return
        # Sums of grid numbers are exact, so the unordered atomics of a GPU give the same bits.
        self.high_TW.index_add_(0, block.tensor_R, high_RW)
        self.low_TW.index_add_(0, block.tensor_R, low_RW.add_(block.grid_R1).sub_(block.grid_R1))
        self.words_T.index_add_(0, block.tensor_R, words_R)

    def merge(self, other: _Sums) -> None:
        """Add the sums of another device."""
        for name in ("high_TW", "low_TW", "words_T"):
            mine = getattr(self, name)
            mine.add_(getattr(other, name).to(mine.device))


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
