"""How far twins have moved from their base run: per twin and tensor, in the measures the field uses.

With base weights `a` and twin weights `b` of one tensor:

| measure | formula | range |
| --- | --- | --- |
| `mean_relative_l1` | mean over elements of `2 |a - b| / (|a| + |b|)`, 0/0 = 0 | 0 … 2 |
| `l2` | `|b - a|` | 0 … |
| `relative_l2` | `|b - a| / |a|`, 0/0 = 0 | 0 … |
| `max_ulp` | the largest number of floats of the format that lie between two elements, see `core.ulp` | 0 … |
| `share_differing` | share of elements with `a != b` | 0 … 1 |
| `cosine` | `<b - a, a> / (|b - a| |a|)`, 0 where either is 0 | -1 … 1 |

The mean relative L1 difference is the published measure (Sun, Lao, Yezzi and Sundaramoorthi, JMLR 25(174), 2024). Sums
run in float64, differences of float32 and shorter formats are exact, and elements that are equal contribute exactly 0
to everything: the exact repeat of a run gives 0 in every measure. +0 equals -0, and a NaN equals a NaN: a repeat that
diverged in the same way is still a repeat. An infinity against a finite number counts 2 in the first measure, its
limit; a NaN against a number makes every measure but `max_ulp` and `share_differing` NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import FLOAT_DTYPES, ulp_distance

__all__ = ["MEASURES", "Divergence", "measure_divergence"]

MEASURES = ("mean_relative_l1", "l2", "relative_l2", "max_ulp", "share_differing", "cosine")
"""The measures of the table."""

# Axes: K twins, T tensors, N elements of several tensors one after another, M measures that are sums over elements.

GROUP_ELEMENTS = 1 << 22
"""Elements (twins times weights) laid side by side at once: bounds the working memory to about 400 MiB."""


@dataclass(frozen=True)
class Divergence:
    """The measures above at one step, each (K, T), with what they were computed from.

    Attributes:
        sizes: numbers of elements of the tensors, axis T.
        mean_relative_l1: float64.
        l2: float64.
        norm: float64 (T,), the L2 norms of the base tensors.
        dot: float64, `<b - a, a>`.
        max_ulp: int64.
        differing: int64, how many elements differ.
    """

    sizes: tuple[int, ...]
    mean_relative_l1: Tensor
    l2: Tensor
    norm: Tensor
    dot: Tensor
    max_ulp: Tensor
    differing: Tensor

    @property
    def relative_l2(self) -> Tensor:
        """L2 distance relative to the base's norm, 0/0 = 0."""
        return _ratio(self.l2, self.norm.expand_as(self.l2))

    @property
    def share_differing(self) -> Tensor:
        """Share of elements that differ."""
        return self.differing / self._sizes().clamp(min=1)

    @property
    def cosine(self) -> Tensor:
        """Cosine between the difference and the base weights, 0 where either vanishes."""
        return _ratio(self.dot, self.l2 * self.norm)

    def whole(self) -> Divergence:
        """Return the same measures over all elements of all tensors taken as one, axis T of length 1."""
        sizes = self._sizes()
        return Divergence(
            sizes=(sum(self.sizes),),
            mean_relative_l1=(self.mean_relative_l1 * sizes).sum(-1, keepdim=True) / sizes.sum().clamp(min=1),
            l2=torch.linalg.vector_norm(self.l2, dim=-1, keepdim=True),
            norm=torch.linalg.vector_norm(self.norm, dim=-1, keepdim=True),
            dot=self.dot.sum(-1, keepdim=True),
            max_ulp=self.max_ulp.amax(-1, keepdim=True),
            differing=self.differing.sum(-1, keepdim=True),
        )

    def _sizes(self) -> Tensor:
        return torch.tensor(self.sizes, dtype=torch.float64, device=self.l2.device)


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """Return `top / bottom` with 0/0 = 0."""
    return torch.where(top == 0, torch.zeros_like(top), top / bottom)


@torch.no_grad()
def measure_divergence(base: Mapping[str, Tensor], twins: Sequence[Mapping[str, Tensor]]) -> Divergence:
    """Compare each of `twins` with `base`.

    Args:
        base: floating-point tensors by name.
        twins: at least one set of tensors with the names, shapes and formats of `base`.

    Raises:
        LastbitError: no twin, no tensor, or a twin whose names, shapes or formats are not the base's.

    Example:
        >>> base = {"w": torch.tensor([1.0, 2.0])}
        >>> twin = {"w": torch.tensor([1.0, 2.0 + 2.0**-22])}
        >>> found = measure_divergence(base, [base, twin])
        >>> found.max_ulp.tolist(), found.share_differing.tolist()
        ([[0], [1]], [[0.0], [0.5]])
    """
    _check(base, twins)
    sums, ulps = [], []
    order: list[str] = []
    for names in _groups(base, len(twins)):
        a_N = torch.cat([base[name].detach().reshape(-1) for name in names])
        b_KN = torch.stack([torch.cat([twin[name].detach().reshape(-1) for name in names]) for twin in twins])
        sizes = [base[name].numel() for name in names]
        sums_MKN, ulps_KN = _elementwise(a_N, b_KN)
        sums.append(torch.stack([part.sum(-1) for part in torch.split(sums_MKN, sizes, -1)], -1))
        none = torch.zeros(len(twins), dtype=torch.int64, device=a_N.device)
        ulps.append(torch.stack([p.amax(-1) if p.shape[-1] else none for p in torch.split(ulps_KN, sizes, -1)], -1))
        order += names
    # Grouping by format may have changed the order of the tensors: restore the caller's.
    back = torch.tensor([order.index(name) for name in base], device=sums[0].device)
    l1_KT, square_KT, dot_KT, differing_KT, weight_KT = torch.cat(sums, -1)[..., back].unbind(0)
    numels = tuple(x.numel() for x in base.values())
    return Divergence(
        sizes=numels,
        mean_relative_l1=l1_KT / torch.tensor(numels, dtype=torch.float64, device=l1_KT.device).clamp(min=1),
        l2=square_KT.sqrt(),
        norm=weight_KT[0].sqrt(),
        dot=dot_KT,
        max_ulp=torch.cat(ulps, -1)[:, back],
        differing=differing_KT.long(),
    )


def _elementwise(a_N: Tensor, b_KN: Tensor) -> tuple[Tensor, Tensor]:
    """Return what each element adds to the sums (relative L1, squares, dot, differing, weights), and ulp distances."""
    same_KN = (a_N == b_KN) | (a_N.isnan() & b_KN.isnan())
    zero = torch.zeros((), dtype=torch.float64, device=a_N.device)
    ulps_KN = ulp_distance(a_N, b_KN).masked_fill_(same_KN, 0)
    wide_N, wide_KN = a_N.double(), b_KN.double()
    difference_KN = torch.where(same_KN, zero, wide_KN - wide_N)
    relative_KN = 2 * difference_KN.abs() / (wide_N.abs() + wide_KN.abs())
    infinite_KN = (wide_N.isinf() | wide_KN.isinf()) & ~difference_KN.isnan()
    relative_KN = torch.where(infinite_KN, 2 * torch.ones_like(zero), relative_KN)
    sums_MKN = torch.stack(
        [
            torch.where(same_KN, zero, relative_KN),
            difference_KN.square(),
            torch.where(same_KN, zero, difference_KN * wide_N),
            (~same_KN).double(),
            wide_N.square().expand_as(wide_KN),
        ]
    )
    return sums_MKN, ulps_KN


def _groups(base: Mapping[str, Tensor], twins: int) -> Iterator[list[str]]:
    """Yield names of tensors of one format whose elements are laid side by side, within the working memory."""
    for kind in dict.fromkeys(x.dtype for x in base.values()):
        group: list[str] = []
        held = 0
        for name in (name for name, x in base.items() if x.dtype == kind):
            size = base[name].numel() * twins
            if group and held + size > GROUP_ELEMENTS:
                yield group
                group, held = [], 0
            group.append(name)
            held += size
        yield group


def _check(base: Mapping[str, Tensor], twins: Sequence[Mapping[str, Tensor]]) -> None:
    if not twins:
        raise LastbitError("no twin to compare: pass at least one, such as the exact repeat of the base run")
    if not base:
        raise LastbitError("no tensors to compare: pass the weights by name, such as dict(model.named_parameters())")
    for name, x in base.items():
        if x.dtype not in FLOAT_DTYPES:
            raise LastbitError(f"{name} is {x.dtype}: compare floating-point tensors only")
    for number, twin in enumerate(twins):
        if set(twin) != set(base):
            odd = sorted(set(twin) ^ set(base))[0]
            raise LastbitError(f"twin {number} and the base do not hold the same tensors: check {odd}")
        for name, x in base.items():
            if twin[name].shape != x.shape or twin[name].dtype != x.dtype:
                arrived = f"{tuple(twin[name].shape)} {twin[name].dtype}"
                raise LastbitError(f"twin {number}: {name} is {arrived}, the base has {tuple(x.shape)} {x.dtype}")
